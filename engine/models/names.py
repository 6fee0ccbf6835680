"""Derives names of models and quants from file names and metadata. Pure."""

from __future__ import annotations

import re
from pathlib import Path

from engine.text import printable

SHARD_NAME = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE | re.DOTALL)
"""llama.cpp's name of a part of a split model; numbers begin with 1."""

_QUANT_TAG = re.compile(
    r"(?:^|[-._ ])(?P<tag>(?:UD-)?(?:I?Q[1-8](?:_[0-9KSMLXN]+)*|TQ[12]_0|BF16|F16|F32|FP16|MXFP4(?:_MOE)?|NVFP4))(?=$|[-._ ])",
    re.IGNORECASE,
)
_NAME_NOISE = re.compile(r"[-._ ](?:i1|imat|imatrix|gguf|ud)$", re.IGNORECASE)
_NO_NAME = re.compile(r"(?:ggml[-_.])?(?:model|ggml)|sha256-.*|[0-9a-f]{32,}", re.IGNORECASE)
"""Uninformative file names."""


def model_name(path: Path, said: str) -> str:
    """Return the name of a model without its quant: that of its file, since metadata often names a training stage.

    `said` is `general.name`, used where the file has no name of its own (`model.gguf`, a hash) or it spells the same words better.
    """
    shard = SHARD_NAME.fullmatch(path.name)
    said, own = without_quant(said), without_quant(shard["stem"] if shard else path.stem)
    named = path.suffix.lower() == ".gguf" and own and not _NO_NAME.fullmatch(own)
    if said and (not named or words_of(said) == words_of(own)):
        return said
    return own or printable(path.stem, 100)


def without_quant(name: str) -> str:
    """Return a name without the quant and other suffixes."""
    name = printable(name, 100)
    while (shorter := _NAME_NOISE.sub("", _QUANT_TAG.sub("", name))) != name:
        name = shorter
    return name.strip("-._ ")


def words_of(name: str) -> str:
    """Normalize a name for comparison: lower case, one separator."""
    return re.sub(r"[-._ ]+", "-", name.lower())


def quant_in_name(stem: str) -> str:
    """Return the quant in a file name or tag, in upper case; empty when there is none."""
    tags = [match["tag"].upper() for match in _QUANT_TAG.finditer(stem)]
    return tags[-1].replace("FP16", "F16") if tags else ""
