"""A line with a delay and a byte rate in each direction, for tests and measurements; it can also go dead without a word.

    python -m tests.e2e.slow_line TARGET_PORT --delay-ms 40 --bytes-per-s 8000

Prints the port that it listens on. Loopback only. SIGUSR1 makes it swallow everything from then on, as a line does that is cut.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

BUFFER = 16_384
"""Bytes that the line itself holds back before its sender has to wait."""


async def carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float, bytes_per_s: float, dead: asyncio.Event
) -> None:
    """Carry bytes one way: each piece leaves `delay_s` after it came, and not before those ahead of it have left at the line's rate."""
    loop = asyncio.get_running_loop()
    piece = max(64, min(4096, int(bytes_per_s / 20)))
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(max(4, int((BUFFER + delay_s * min(bytes_per_s, 1e7)) / piece)))

    async def deliver() -> None:
        free_s = 0.0
        while True:
            came_s, data = await under_way.get()
            free_s = max(free_s, came_s) + len(data) / bytes_per_s
            await asyncio.sleep(free_s + delay_s - loop.time())
            if not dead.is_set():
                if not data:
                    writer.close()
                    return
                writer.write(data)

    delivery = asyncio.create_task(deliver())
    try:
        while data := await reader.read(piece):
            await under_way.put((loop.time(), data))
    except ConnectionError:
        pass
    await under_way.put((loop.time(), b""))
    await delivery


async def serve(target: int, delay_s: float, bytes_per_s: float) -> None:
    """Listen on a free port and carry each connection to `target`."""
    dead = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, dead.set)

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(carry(reader, far_writer, delay_s, bytes_per_s, dead), carry(far_reader, writer, delay_s, bytes_per_s, dead))

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=int)
    parser.add_argument("--delay-ms", type=float, default=0.0, help="one way")
    parser.add_argument("--bytes-per-s", type=float, default=1e9)
    options = parser.parse_args()
    asyncio.run(serve(options.target, options.delay_ms / 1e3, options.bytes_per_s))
