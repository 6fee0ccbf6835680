"""The native libraries: the ctypes bindings of llama-cpp-python 0.3.36, and symbols that they lack.

The bindings module is loaded without the package's own `__init__`, which takes 80 ms and installs a log callback that prints.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

from engine.errors import EngineError

__all__ = [
    "ABORT_IF_SET",
    "dry_sampler",
    "lib",
    "library_name",
    "library_version",
    "memory_by_buffer",
    "on_native_death",
    "picture_library",
    "shared_library",
    "system_info",
    "trim_heap",
]

os.environ.setdefault("GGML_NO_BACKTRACE", "1")
"""Without it a failed assertion forks and runs a debugger."""

if TYPE_CHECKING:
    from llama_cpp import llama_cpp as lib
else:

    def _bindings() -> object:
        if "llama_cpp" not in sys.modules:
            spec = importlib.util.find_spec("llama_cpp")
            if spec is None:
                raise EngineError("llama-cpp-python is not installed", hint="Install xchat again with its dependencies.")
            sys.modules["llama_cpp"] = importlib.util.module_from_spec(spec)
        return importlib.import_module("llama_cpp.llama_cpp")

    lib = _bindings()

_LIBRARY_FOLDER = Path(lib._lib._name).parent

_IS_LINUX = sys.platform.startswith("linux")


@cache
def shared_library(name: str) -> ctypes.CDLL:
    """Open a library by the file name that libllama opened, since another name would load a second copy."""
    if _IS_LINUX:
        return ctypes.CDLL(str(_LIBRARY_FOLDER / f"lib{name}.so.0"))
    suffix = "dylib" if sys.platform == "darwin" else "so"
    return ctypes.CDLL(str(_LIBRARY_FOLDER / f"lib{name}.{suffix}"))


@cache
def picture_library() -> ModuleType:
    """The bindings of libmtmd, loaded when the first picture comes."""
    return importlib.import_module("llama_cpp.mtmd_cpp")


_ggml_base = shared_library("ggml-base")
_libc = ctypes.CDLL(None)

_AbortHandler = ctypes.CFUNCTYPE(None, ctypes.c_char_p)
_TerminateHandler = ctypes.CFUNCTYPE(None)
_installed_handlers: list[object] = []
"""Keeps alive the callbacks that native code has pointers to."""

ABORT_IF_SET = lib.ggml_abort_callback(cast(int, ctypes.cast(_libc.strlen, ctypes.c_void_p).value))
"""An abort callback that is true when its data, a C string, is not empty: libc's strlen.

It runs some 500 times per token and must not be Python: taking the GIL there makes a token up to sixty times slower.
"""


def on_native_death(callback: Callable[[str], None]) -> None:
    """Call `callback` with the reason when native code aborts or a C++ exception escapes; it must never return."""

    def aborted(message: bytes | None) -> None:
        # Without the folders of the machine that built the library: "…/ggml.c:1644: GGML_ASSERT(…) failed".
        callback(re.sub(r"^\S*/(?=\S+:\d+:)", "", (message or b"abort").decode(errors="replace").strip()))

    def terminated() -> None:
        callback(_current_exception())

    abort_handler, terminate_handler = _AbortHandler(aborted), _TerminateHandler(terminated)
    _installed_handlers.extend((abort_handler, terminate_handler))
    _ggml_base.ggml_set_abort_callback(abort_handler)
    runtime = _cpp_runtime()
    if runtime is not None:
        runtime._ZSt13set_terminatePFvvE(terminate_handler)


def _cpp_runtime() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libstdc++.so.6" if _IS_LINUX else "libc++.1.dylib")
    except OSError:
        return None


def _current_exception() -> str:
    """Name of the C++ exception in flight on this thread."""
    runtime = _cpp_runtime()
    if runtime is None:
        return "C++ exception"
    current_type = runtime.__cxa_current_exception_type
    current_type.restype = ctypes.c_void_p
    type_info = current_type()
    if not type_info:
        return "std::terminate"
    name = ctypes.cast(type_info + ctypes.sizeof(ctypes.c_void_p), ctypes.POINTER(ctypes.c_char_p))[0]
    return f"C++ exception {(name or b'').decode(errors='replace')}"


def trim_heap() -> None:
    """Return freed memory to the system after a model switch."""
    if _IS_LINUX:
        _libc.malloc_trim(0)


def library_version() -> str:
    """Return the version of the llama.cpp build, for keys of cached results."""
    library = Path(lib._lib._name)
    stat = library.stat()
    return f"{lib.llama_version().decode()}-{stat.st_size}-{stat.st_mtime_ns}"


_BREAKERS = (ctypes.c_char_p * 4)(b"\n", b":", b'"', b"*")
"""llama.cpp's texts that end a repetition for DRY."""


def dry_sampler(vocab: object, multiplier: float, base: float, allowed_length: int, last_n: int) -> lib.llama_sampler_p | None:
    """Return a DRY sampler; the bindings' own function takes no array of texts."""
    make = lib._lib["llama_sampler_init_dry"]
    make.restype = lib.llama_sampler_p_ctypes
    make.argtypes = [ctypes.c_void_p, ctypes.c_float, ctypes.c_float, ctypes.c_int32, ctypes.c_int32, ctypes.c_void_p, ctypes.c_size_t]
    return cast("lib.llama_sampler_p | None", make(vocab, multiplier, base, allowed_length, last_n, _BREAKERS, len(_BREAKERS)))


def library_name() -> str:
    """Version and build of the native library and of the bindings, for display."""
    build = [lib.llama_version().decode(errors="replace")]
    for what in ("commit", "version"):
        getter = getattr(_ggml_base, f"ggml_{what}", None)
        if getter is not None:
            getter.restype = ctypes.c_char_p
            build.append(f"{'build' if what == 'commit' else 'ggml'} {(getter() or b'unknown').decode(errors='replace')}")
    return ", ".join([*build, f"llama-cpp-python {version('llama-cpp-python')}"])


def system_info() -> str:
    """Return the CPU features that the library was built with and found."""
    text: bytes = lib.llama_print_system_info()
    return text.decode(errors="replace").strip()


class _StdMap(ctypes.Structure):
    """Memory layout of a libstdc++ std::map: word 2 is the root of its red-black tree."""

    _fields_ = (("words", ctypes.c_uint64 * 6),)


_MAP_ROOT = 2
_NODE_LEFT, _NODE_RIGHT, _NODE_KEY, _NODE_MODEL, _NODE_CONTEXT, _NODE_COMPUTE = 2, 3, 4, 5, 6, 7
"""Words of a tree node: after colour, parent and children, the buffer type and the three byte counts kept for it."""


def memory_by_buffer(context: object) -> dict[str, tuple[int, int, int]] | None:
    """Bytes of model, context and compute buffers by the name of the buffer type; None where the build has no such function.

    The function is not part of llama.cpp's C interface, and its result has the layout of GNU's C++ library.
    """
    try:
        breakdown = lib._lib["_Z26llama_get_memory_breakdownPK13llama_context"]
        buffer_name = _ggml_base.ggml_backend_buft_name
    except AttributeError:
        return None
    if not _IS_LINUX:
        return None
    breakdown.restype = _StdMap
    breakdown.argtypes = [ctypes.c_void_p]
    buffer_name.restype = ctypes.c_char_p
    buffer_name.argtypes = [ctypes.c_void_p]
    found: dict[str, tuple[int, int, int]] = {}
    pending = [int(breakdown(context).words[_MAP_ROOT])]
    while pending:
        address = pending.pop()
        if not address:
            continue
        node = (ctypes.c_uint64 * 8).from_address(address)
        name = (buffer_name(node[_NODE_KEY]) or b"").decode(errors="replace")
        found[name] = (int(node[_NODE_MODEL]), int(node[_NODE_CONTEXT]), int(node[_NODE_COMPUTE]))
        pending += [int(node[_NODE_LEFT]), int(node[_NODE_RIGHT])]
    return found
