"""Reads py-spy's speedscope JSON (in order of time, by thread), and writes speedscope JSON for exports."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from engine.errors import CaptureError
from engine.profiling.frames import frame_text, shorten, split_frame, thread_name
from engine.profiling.stacks import FoldedStacks, StackCounter
from engine.text import printable

SCHEMA = "https://www.speedscope.app/file-format-schema.json"
"""Identifies the format in the file, as speedscope's importer requires; never fetched."""

_PROFILE_NAME = re.compile(r'^Thread (?:0x)?(?P<id>[0-9A-Fa-f]+)(?: "(?P<name>.*)")?$', re.DOTALL)


class _Frame(msgspec.Struct):
    name: str
    file: str | None = None
    line: int | None = None


class _Profile(msgspec.Struct):
    name: str
    samples: list[list[int]]


class _Shared(msgspec.Struct):
    frames: list[_Frame]


class _File(msgspec.Struct):
    shared: _Shared
    profiles: list[_Profile]


def read_pyspy(document: bytes) -> FoldedStacks:
    """Read the stacks of `py-spy record --format speedscope`, in which every sample has the same weight.

    Raises CaptureError when it is not such a document.
    """
    try:
        file = msgspec.json.decode(document, type=_File)
        return _fold(file)
    except (msgspec.MsgspecError, IndexError) as error:
        raise CaptureError("py-spy's output can't be read", printable(str(error))) from error


def _fold(file: _File) -> FoldedStacks:
    texts = [frame_text(frame.name, shorten(frame.file or ""), frame.line or 0) for frame in file.shared.frames]
    threads = {index for index, text in enumerate(texts) if thread_name(text) is not None}
    counter = StackCounter()
    for number, profile in enumerate(file.profiles):
        match = _PROFILE_NAME.match(profile.name)
        thread = int(match["id"], 10 if match["id"].isdecimal() else 16) if match else -1 - number
        name = (match["name"] or match["id"]) if match else profile.name
        for sample in profile.samples:
            counter.add(thread, name, [texts[index] for index in sample if index not in threads])
    return counter.folded()


def speedscope_document(stacks: FoldedStacks, *, rate: float, name: str) -> bytes:
    """Make a speedscope document: one sampled profile per thread, in order of time where it is known.

    `rate` is in samples per second of a busy thread, 0 if unknown; `name` is the title.
    """
    frames: dict[str, int] = {}
    profiles = []
    for thread, samples in _by_thread(stacks):
        indices, weights = [], []
        for stack, count in samples:
            indices.append([frames.setdefault(frame, len(frames)) for frame in stack])
            weights.append(round(count / (rate or 1), 6))
        profiles.append(
            {
                "type": "sampled",
                "name": thread,
                "unit": "seconds" if rate else "none",
                "startValue": 0,
                "endValue": round(sum(weights), 6),
                "samples": indices,
                "weights": weights,
            }
        )
    document = {
        "$schema": SCHEMA,
        "name": printable(name),
        "exporter": "xchat",
        "activeProfileIndex": 0,
        "shared": {"frames": [_frame(frame) for frame in frames]},
        "profiles": profiles,
    }
    return msgspec.json.encode(document)


def _frame(text: str) -> dict[str, str | int]:
    function, file, line = split_frame(text)
    return {"name": function, **({"file": file} if file else {}), **({"line": line} if line else {})}


def _by_thread(stacks: FoldedStacks) -> Iterator[tuple[str, list[tuple[list[str], int]]]]:
    runs = stacks.runs or tuple(enumerate(stacks.counts))
    threads: dict[str, list[tuple[list[str], int]]] = {}
    for index, count in runs:
        root, _, rest = stacks.stacks[index].partition(";")
        name = thread_name(root)
        whole = rest if name is not None else stacks.stacks[index]
        threads.setdefault(name or "all threads", []).append((whole.split(";") if whole else [], count))
    yield from threads.items()
