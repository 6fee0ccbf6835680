"""Reads a file to attach: text, or the text of a document. Blocking."""

from __future__ import annotations

import codecs
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from engine import child
from engine.errors import UsageError
from engine.pictures.stored import LARGEST as LARGEST_PICTURE
from engine.pictures.stored import SUFFIXES as PICTURES
from engine.pictures.stored import take
from engine.regular_file import open_regular

LARGEST = 4_000_000
"""Most bytes of a text file, and of the text of a document."""
LARGEST_DOCUMENT = 100_000_000
"""Most bytes of a document's file."""
EXTRACT_S = 60.0
"""Longest time to read a document."""
DOCUMENTS = {".pdf": "pypdf", ".docx": "docx", ".xlsx": "openpyxl", ".pptx": "pptx"}
"""Kinds of documents, with the library that reads each."""
MISSING = 3
"""Exit status of the child process without that library."""

PICTURE = "picture"
"""The language of an attachment that is a picture; its text names it."""

_LANGUAGES = {
    "bash": "sh bash zsh",
    "c": "c h",
    "cpp": "cc cpp cxx hpp hh",
    "csharp": "cs",
    "css": "css",
    "diff": "diff patch",
    "go": "go",
    "html": "html htm",
    "ini": "ini cfg",
    "java": "java",
    "javascript": "js mjs cjs jsx",
    "json": "json jsonl",
    "kotlin": "kt",
    "lua": "lua",
    "markdown": "md markdown docx pptx",
    "php": "php",
    "python": "py pyi",
    "ruby": "rb",
    "rust": "rs",
    "sql": "sql",
    "swift": "swift",
    "toml": "toml",
    "typescript": "ts tsx",
    "csv": "csv xlsx",
    "xml": "xml svg",
    "yaml": "yaml yml",
}
_LANGUAGE_OF = {suffix: language for language, suffixes in _LANGUAGES.items() for suffix in suffixes.split()}


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file to send."""

    name: str
    """The path, relative to the working folder where it is below that."""
    language: str
    text: str


def read(path: Path, name: str) -> Attachment:
    """Read a file. Raises UsageError for a link, a pipe, a device, a binary or a too large file, and a document without its library."""
    suffix = path.suffix.lower()
    if suffix in PICTURES:
        return read_picture(path, name)
    text = _document(path, name, DOCUMENTS[suffix]) if suffix in DOCUMENTS else _decoded(_bytes(path, name, LARGEST), name)
    return Attachment(name, _LANGUAGE_OF.get(suffix[1:], "text"), text)


def read_picture(path: Path, name: str) -> Attachment:
    """Read a picture, whatever its name. Raises UsageError as `read`, and when it can't be read as one."""
    return Attachment(name, PICTURE, str(take(_bytes(path, name, LARGEST_PICTURE), name)))


def _bytes(path: Path, name: str, most: int) -> bytes:
    """Read a regular file, without following a link or waiting for a pipe."""
    try:
        handle = open_regular(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        detail = "It is a symbolic link" if os.path.islink(path) else error.strerror or str(error)
        raise UsageError(f"{name} can't be attached", detail) from error
    with open(handle, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise UsageError(f"{name} can't be attached", f"It has more than {most:,} bytes")
    return data


def _decoded(data: bytes, name: str) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    if b"\0" in data:
        raise UsageError(f"{name} can't be attached", "It is not a text file")
    return data.decode("utf-8-sig", "replace").replace("\r\n", "\n")


def _document(path: Path, name: str, library: str) -> str:
    """Read the text of a document in a child process with limits, since documents are untrusted."""
    data = _bytes(path, name, LARGEST_DOCUMENT)
    command = child.command("engine.attachments.extract", path.suffix.lower())
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=EXTRACT_S, env=child.environment(), check=False)
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{name} can't be attached", f"Its text was not read within {EXTRACT_S:.0f} s") from error
    if done.returncode == MISSING:
        hint = "Install them with xchat: `pip install 'xchat-llama[documents]'`"
        raise UsageError(f"{name} can't be attached", f"The libraries that read documents are missing ({library})", hint)
    if done.returncode < 0:
        raise UsageError(f"{name} can't be attached", "Reading it took too much time or memory")
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["It can't be read"]
        raise UsageError(f"{name} can't be attached", reason[0][:200])
    if not done.stdout.strip():
        raise UsageError(f"{name} can't be attached", "No text was found in it")
    if len(done.stdout) > LARGEST:
        raise UsageError(f"{name} can't be attached", f"Its text has more than {LARGEST:,} bytes")
    return done.stdout.decode("utf-8", "replace")
