"""Root may write anywhere, so what happens without permission is tried in a child that has given its capabilities up."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

_HEADER_VERSION_3 = 0x20080522

_TRY = """
import asyncio, sys
from pathlib import Path
from tests.engine.store.powerless import drop_capabilities
drop_capabilities()
from engine.store.queries.sessions import find_sessions
from engine.store.reader import Reader
from engine.store.writer import Store

async def attempt() -> None:
    path = Path(sys.argv[1])
    try:
        await (await Store.open(path)).close()
        print("opened")
    except Exception as error:
        print(type(error).__name__)
    reader = await Reader.open(path)
    print(len(await reader.read(find_sessions)))
    await reader.close()

asyncio.run(attempt())
"""


def drop_capabilities() -> None:
    """Become an ordinary user as far as file permissions go; nothing changes for one who already is."""
    if os.geteuid() == 0:
        header = (ctypes.c_uint32 * 2)(_HEADER_VERSION_3, 0)
        if ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()):
            raise OSError(ctypes.get_errno(), "capset failed")


def open_without_power(path: Path) -> list[str]:
    """What opening for writing ends with (`opened`, or the error's name), and how many sessions reading then finds."""
    done = subprocess.run([sys.executable, "-c", _TRY, str(path)], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()
