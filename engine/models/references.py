"""Parses names of remote models: `hf:org/repo:Q4_K_M`, `org/repo:Q8_0`, `hf.co/org/repo`, a URL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from engine.errors import ModelError, UsageError
from engine.models.names import SHARD_NAME, quant_in_name
from engine.text import printable

HUB_HOSTS = ("huggingface.co", "hf.co", "www.huggingface.co")
PREFERRED_QUANTS = ("Q4_K_M", "Q8_0")
"""Quants to choose, in this order, for a name without a quant, as llama.cpp does; else the first file."""

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_EXAMPLE = "For example: hf:Qwen/Qwen3-4B-GGUF:Q4_K_M"
_NO_MODEL = re.compile(r"mmproj|imatrix|(?:^|[-_./])(?:mtp|eagle3|dflash|dspark)-", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HubReference:
    """A model in a repository of the hub."""

    repository: str
    """`org/name`."""
    wanted: str = ""
    """A quant or the name of a file; empty for the default."""
    revision: str = "main"

    def __str__(self) -> str:
        """Return the canonical name."""
        return f"hf:{self.repository}" + (f":{self.wanted}" if self.wanted else "")


@dataclass(frozen=True, slots=True)
class UrlReference:
    """A file at a URL."""

    url: str

    @property
    def file(self) -> str:
        """The file's name."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name

    def __str__(self) -> str:
        """Return the canonical name."""
        return self.url


Reference = HubReference | UrlReference


def looks_like_path(text: str) -> bool:
    """Return whether a text is a path rather than a model's name.

    `org/model` and Ollama's `user/model:tag` are names: a relative path begins with a dot, or ends with .gguf.
    """
    return text.startswith(("/", "~", "$", "./", "../")) or text.lower().endswith(".gguf")


def looks_like_reference(text: str) -> bool:
    """Return whether a text names a model on a hub or at a URL."""
    return text.startswith(("hf:", "http://", "https://", *(f"{host}/" for host in HUB_HOSTS)))


def cache_folder(repository: str) -> str:
    """Name of the folder of a repository (`org/name`) in the hub's cache."""
    return f"models--{repository.replace('/', '--')}"


def parse_reference(name: str) -> Reference:
    """Parse the name of a model to pull. Raises UsageError with an example."""
    text = name.strip()
    if text.startswith("ollama:"):
        raise UsageError(
            "Models can't be pulled from Ollama", "xchat uses the models that Ollama has on this machine", "`xchat models list` shows them"
        )
    if "://" in text and not text.startswith(tuple(f"{scheme}://{host}/" for scheme in ("https", "http") for host in HUB_HOSTS)):
        return _url(text)
    plain = text.removeprefix("hf:").removeprefix("https://").removeprefix("http://")
    for host in HUB_HOSTS:
        plain = plain.removeprefix(f"{host}/")
    parts = plain.split("?")[0].strip("/").split("/")
    if len(parts) >= 5 and parts[2] in {"resolve", "blob"}:
        return _checked(HubReference("/".join(parts[:2]), unquote("/".join(parts[4:])), parts[3]), name)
    if len(parts) < 2:
        raise UsageError(f"{printable(name)} does not name a model to pull", "A name is ORG/REPOSITORY, optionally with :QUANT", _EXAMPLE)
    repository, _, wanted = "/".join(parts).partition(":")
    return _checked(HubReference(repository, wanted), name)


def choose_files(reference: HubReference, files: Iterable[str]) -> tuple[str, ...]:
    """Return the files of a reference: one, or all parts of a split model in order.

    Raises ModelError when there is none; the hint lists the quants.
    """
    models = sorted(file for file in files if file.lower().endswith(".gguf"))
    if not models:
        hint = "Look for a repository of the same name with -GGUF at its end"
        raise ModelError(f"{reference.repository} has no GGUF file", "It may have the model in another format", hint)
    chosen = _file_named(reference.wanted, models)
    if chosen is None:
        chat = [file for file in models if not _NO_MODEL.search(file)] or models
        quants = [reference.wanted] if reference.wanted else [*PREFERRED_QUANTS]
        chosen = next((file for quant in quants if (file := _file_of_quant(quant, chat))), None)
        if chosen is None and not reference.wanted:
            chosen = chat[0]
    if chosen is None:
        there = sorted({quant for file in models if (quant := quant_in_name(_stem(file)))})
        hint = f"There are: {', '.join(there)}" if there else f"There are: {', '.join(printable(file, 80) for file in models[:8])}"
        raise ModelError(f"{reference.repository} has no {printable(reference.wanted)}", "", hint)
    shard = SHARD_NAME.fullmatch(chosen)
    if shard is None:
        return (chosen,)
    parts = tuple(f"{shard['stem']}-{number:05d}-of-{shard['count']}.gguf" for number in range(1, int(shard["count"]) + 1))
    missing = [part for part in parts if part not in models]
    if missing:
        raise ModelError(
            f"{reference.repository} lacks parts of {printable(chosen)}", f"Missing: {printable(missing[0])}", "Use another quant"
        )
    return parts


def _checked(reference: HubReference, name: str) -> HubReference:
    if not _REPOSITORY.fullmatch(reference.repository) or ".." in reference.repository:
        raise UsageError(f"{printable(name)} does not name a model to pull", "A name is ORG/REPOSITORY, optionally with :QUANT", _EXAMPLE)
    return reference


def _url(text: str) -> UrlReference:
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise UsageError(f"{printable(text)} is not a URL", str(error), _EXAMPLE) from error
    reference = UrlReference(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc or "\\" in reference.file:
        raise UsageError(f"{printable(text)} can't be pulled", "Only http and https URLs are supported", _EXAMPLE)
    if not reference.file.lower().endswith(".gguf"):
        raise UsageError(f"{printable(text)} does not end with .gguf", "The URL must be that of the file itself", _EXAMPLE)
    return reference


def _file_named(wanted: str, models: Sequence[str]) -> str | None:
    if not wanted.lower().endswith(".gguf"):
        return None
    return next((file for file in models if wanted in {file, PurePosixPath(file).name}), None)


def _file_of_quant(quant: str, models: Sequence[str]) -> str | None:
    """Return the file whose name has that quant: an exact match first, then one followed by a dot or a hyphen, as llama.cpp matches."""
    exact = [file for file in models if quant_in_name(_stem(file)) == quant.upper()]
    loose = re.compile(re.escape(quant) + r"[.-]", re.IGNORECASE)
    near = [file for file in models if loose.search(PurePosixPath(file).name)]
    return next(iter([*exact, *near]), None)


def _stem(file: str) -> str:
    shard = SHARD_NAME.fullmatch(PurePosixPath(file).name)
    return shard["stem"] if shard else PurePosixPath(file).stem
