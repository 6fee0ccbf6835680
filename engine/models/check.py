"""Checks a model file before it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.errors import ModelError
from engine.models.facts import FileKind, ModelFacts
from engine.models.facts_cache import FactsCache, read_facts
from engine.models.gguf_contents import broken
from engine.models.gguf_metadata import open_model
from engine.models.names import SHARD_NAME
from engine.text import file_name, printable

_MOST_NAMED = 4
"""Missing parts named in one message."""
_MOST_PARTS = 999
"""Most parts of a split model; a name that claims more is not trusted."""

NOT_TO_CHAT_WITH = {
    FileKind.MMPROJ: ("only the image or audio part of a model", "Name the model's own GGUF file; its name is the same without mmproj"),
    FileKind.ADAPTER: ("only an adapter (LoRA) for a model", "Name the GGUF file of the model it was made for"),
    FileKind.IMATRIX: ("only statistics for quantizing (an importance matrix)", "Name the model's own GGUF file"),
    FileKind.DRAFT: ("only a draft model for the speculative decoding of another model", "Name the GGUF file of the model it was made for"),
    FileKind.EMBEDDER: ("an embedding model, which generates no text", "Name the GGUF file of a chat model"),
    FileKind.ENCODER: ("an encoder-decoder (such as T5), which xchat can't run", "Name the GGUF file of a chat model"),
    FileKind.MERGED: (
        "a model merged with its vision part, as Ollama makes them; llama.cpp reads the two from files of their own",
        "`xchat models pull` fetches the model as a file of its own",
    ),
    FileKind.VOCABULARY: ("only a vocabulary, without weights", "Name a GGUF file that has weights"),
}
"""Descriptions of files that are not chat models, and the hint."""


@dataclass(frozen=True, slots=True)
class CheckedModel:
    """A model file, or the parts of a split one, that passed the checks."""

    parts: tuple[Path, ...]
    facts: ModelFacts

    @property
    def path(self) -> Path:
        """The path for the engine: the file, or the first part."""
        return self.parts[0]


def parts_of(path: Path) -> tuple[Path, ...]:
    """Return all parts of the split model that `path` names a part of, in order, existing or not; else `path` alone."""
    shard = SHARD_NAME.fullmatch(path.name)
    count = int(shard["count"]) if shard else 1
    if shard is None or not 1 <= int(shard["number"]) <= count <= _MOST_PARTS:
        return (path,)
    suffix = path.name[-5:]
    return tuple(path.with_name(f"{shard['stem']}-{number:05d}-of-{count:05d}{suffix}") for number in range(1, count + 1))


def check_model(path: Path, *, cache: FactsCache | None = None) -> CheckedModel:
    """Check a chat model; any part of a split model stands for the whole. Raises ModelError."""
    parts = whole_parts(path)
    facts = cache.facts(parts) if cache is not None else read_facts(parts)
    assess(path, parts, facts)
    return CheckedModel(parts, facts)


def whole_parts(path: Path) -> tuple[Path, ...]:
    """Return all parts of a model, given any of them. Raises ModelError that names the missing ones."""
    parts = parts_of(path)
    if len(parts) == 1 or not path.exists():
        open_model(path).close()
        return parts
    missing = [file_name(part) for part in parts if not part.is_file()]
    if missing:
        named = ", ".join(missing[:_MOST_NAMED]) + (f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else "")
        where = printable(str(path.parent), 300)
        raise ModelError(
            f"{file_name(path)} is one of {len(parts)} parts, and not all exist",
            f"Missing in {where}: {named}",
            "Put the missing parts beside it, or pull the model again",
        )
    return parts


def assess(path: Path, parts: tuple[Path, ...], facts: ModelFacts) -> None:
    """Raise ModelError when the facts of a file show that it is not a usable chat model."""
    _is_a_model(path, facts)
    _is_whole(path, parts, facts)


def _is_a_model(path: Path, facts: ModelFacts) -> None:
    unfit = NOT_TO_CHAT_WITH.get(facts.kind)
    if unfit is not None:
        what, hint = unfit
        raise ModelError(f"{file_name(path)} is not a chat model", f"It is {what}", hint)
    if not facts.architecture:
        raise broken(path, "Its architecture is missing")
    if not facts.n_layer or not facts.n_embd:
        raise broken(path, f"It lacks {facts.architecture}.block_count or {facts.architecture}.embedding_length")


def _is_whole(path: Path, parts: tuple[Path, ...], facts: ModelFacts) -> None:
    if facts.split is not None and facts.split.count != len(parts):
        reason = f"Its metadata says part {facts.split.number} of {facts.split.count}, but its name does not"
        raise broken(path, reason, f"Name the parts NAME-00001-of-{facts.split.count:05d}.gguf and so on, as they were published")
    if facts.missing_bytes:
        reason = f"It is truncated: {facts.missing_bytes:,} bytes of its tensors are missing ({facts.file_bytes:,} bytes are there)"
        raise broken(path, reason, "Download it again, or pull it: a pull resumes where it stopped")
    if not facts.embedding_bytes:
        raise broken(path, "It has no token embeddings (token_embd.weight)")
