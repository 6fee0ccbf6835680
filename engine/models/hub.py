"""Uses huggingface_hub for addresses, digests, token, cache layout and errors. Imported (0.5 s) only when a pull begins."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from engine.errors import ModelError, UsageError, XchatError
from engine.models.references import HubReference, Reference, UrlReference, cache_folder, choose_files
from engine.paths import models_dir
from engine.text import printable

TIMEOUT_S = 20.0
"""Longest silence of a server."""
PART_SUFFIX = ".xchat.incomplete"
_SIZE_DIGITS = 18


class PullCancelled(Exception):  # noqa: N818
    """The pull was cancelled; the next pull resumes it."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file to fetch."""

    name: str
    """Its path in the repository."""
    url: str
    size: int | None
    """Bytes; None when the server does not report it."""
    digest: str
    """SHA-256 (64 digits) or git's name of the content (40); empty when the server does not report it."""
    blob: Path
    """Target file."""
    have: int = 0
    """Bytes already downloaded."""
    validator: str = ""
    """The server's ETag or date of the content; empty when it has none that identifies the bytes."""

    @property
    def part(self) -> Path:
        """The partial file; its name depends on the content, so that other contents of the same address have another one."""
        content = "" if self.digest else f".{hashlib.sha256(f'{self.validator} {self.size}'.encode()).hexdigest()[:16]}"
        return self.blob.with_name(f"{self.blob.name}{content}{PART_SUFFIX}")

    @property
    def resumable(self) -> bool:
        """Whether earlier bytes are known to be of this content."""
        return bool(self.digest or self.validator)


class Hub:
    """One hub and one cache folder."""

    def __init__(self, endpoint: str | None, cache: Path | None) -> None:
        """Use `endpoint` and `cache`, or those of huggingface_hub."""
        self._given_endpoint = endpoint
        self._given_cache = cache

    @property
    def endpoint(self) -> str:
        """The hub's address."""
        from huggingface_hub import constants

        return (self._given_endpoint or constants.ENDPOINT).rstrip("/")

    @property
    def cache(self) -> Path:
        """The folder that holds repositories."""
        from huggingface_hub import constants

        return self._given_cache or Path(constants.HF_HUB_CACHE)

    def look_up(self, reference: Reference) -> tuple[tuple[RemoteFile, ...], str]:
        """Return the files of a reference and their commit (empty for an address)."""
        return ((self._at(reference),), "") if isinstance(reference, UrlReference) else self._in_repository(reference)

    def _in_repository(self, reference: HubReference) -> tuple[tuple[RemoteFile, ...], str]:
        from huggingface_hub import HfApi, constants, hf_hub_url
        from huggingface_hub.hf_api import RepoFile

        from engine.models.http_client import client

        if constants.HF_HUB_OFFLINE:
            raise ModelError(f"{reference} can't be pulled", "HF_HUB_OFFLINE disables the network", "Unset it to pull")
        api = HfApi(endpoint=self.endpoint)
        client()
        commit = api.model_info(reference.repository, revision=reference.revision).sha or reference.revision
        tree = api.list_repo_tree(reference.repository, recursive=True, revision=commit)
        there = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
        files = []
        for name in choose_files(reference, there):
            if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
                raise ModelError(
                    f"{reference} can't be pulled", f"{printable(name)} would be written outside its folder", "Do not trust this repository"
                )
            entry = there[name]
            # The hub's cache names a blob by its digest: SHA-256 for large files, git's own for small ones.
            digest = _digest(entry.lfs.sha256 if entry.lfs is not None else entry.blob_id)
            url = hf_hub_url(reference.repository, name, revision=commit, endpoint=self.endpoint)
            blob = self._repository(reference) / "blobs" / digest
            files.append(_with_what_is_here(RemoteFile(name, url, _size(entry.size), digest, blob)))
        return tuple(files), _digest(commit)

    def _at(self, reference: UrlReference) -> RemoteFile:
        from huggingface_hub import hf_raise_for_status

        from engine.models.http_client import client

        response = client().head(reference.url, timeout=TIMEOUT_S)
        hf_raise_for_status(response)
        target = models_dir() / reference.file
        if target.exists():
            raise UsageError(f"{printable(reference.file)} exists already", f"In {printable(str(target.parent), 300)}", "Remove it first")
        size = announced_bytes(response.headers)
        return _with_what_is_here(RemoteFile(reference.file, reference.url, size, "", target, validator=_validator(response.headers)))

    def headers_for(self, url: str) -> Mapping[str, str]:
        """Return the request headers; the token is sent to the hub only."""
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        return dict(build_hf_headers()) if url.startswith(f"{self.endpoint}/") else {}

    def lock_of(self, file: RemoteFile) -> Path:
        """Return the lock that huggingface_hub takes while it fetches this file."""
        repository = file.blob.parent.parent.name
        hub = file.blob.parent.name == "blobs"
        lock = self.cache / ".locks" / repository / f"{file.blob.name}.lock" if hub else file.blob.with_name(f".{file.blob.name}.lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        return lock

    def link(self, reference: Reference, files: Sequence[RemoteFile], revision: str) -> Path:
        """Link the files under the names that tools expect; returns the first link."""
        if isinstance(reference, UrlReference):
            return files[0].blob
        repository = self._repository(reference)
        snapshot = repository / "snapshots" / revision
        paths: list[Path] = []
        for file in files:
            path = snapshot.joinpath(*PurePosixPath(file.name).parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.unlink(missing_ok=True)
                path.symlink_to(os.path.relpath(file.blob, path.parent))
            paths.append(path)
        ref = repository / "refs" / reference.revision
        if ref.resolve().is_relative_to((repository / "refs").resolve()):
            ref.parent.mkdir(parents=True, exist_ok=True)
            ref.write_text(revision)
        return paths[0]

    def _repository(self, reference: HubReference) -> Path:
        return self.cache / cache_folder(reference.repository)


def _with_what_is_here(file: RemoteFile) -> RemoteFile:
    here = file.blob if file.blob.exists() else file.part
    if here == file.part and not file.resumable:
        return file
    have = here.stat().st_size if here.exists() else 0
    return replace(file, have=have)


def announced_bytes(headers: Mapping[str, str]) -> int | None:
    """Return the body's length by its header; None when the server does not report it."""
    length = headers.get("Content-Length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) <= _SIZE_DIGITS else None


def _validator(headers: Mapping[str, str]) -> str:
    """Return the validator for If-Range: a strong ETag, else the date of the last change."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _size(size: object) -> int:
    """Check a size that the hub sent."""
    if type(size) is not int or not 0 <= size < 10**_SIZE_DIGITS:
        raise ModelError("Unexpected response from the hub", f"{printable(str(size), 60)} is not a file's size", "Try again later")
    return size


def _digest(text: object) -> str:
    """Check a digest or commit that the server sent: letters and digits only, since it becomes a file's name."""
    if not isinstance(text, str) or not text.isascii() or not text.isalnum() or len(text) > 64:
        raise ModelError("Unexpected response from the hub", f"{printable(str(text), 60)} is not a digest", "Try again later")
    return text


@contextmanager
def understood(reference: Reference) -> Iterator[None]:
    """Turn errors of the network and the disk into ModelError."""
    try:
        yield
    except (XchatError, PullCancelled):
        raise
    except Exception as error:  # huggingface_hub and its HTTP client have dozens of errors without a common root
        raise _explained(reference, error) from error


def _explained(reference: Reference, error: Exception) -> ModelError:
    from huggingface_hub import errors

    title = f"{reference} can't be pulled"
    status: Any = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ModelError(title, "The disk is full", "Free some space and pull again: it resumes where it stopped")
    if isinstance(error, OSError) and error.errno in {errno.EACCES, errno.EROFS}:
        return ModelError(title, printable(str(error)), "Check the permissions of the folder")
    if isinstance(error, errors.GatedRepoError):
        return ModelError(title, "Its owner grants access on request", "Request access on its page, then set HF_TOKEN")
    if isinstance(error, (errors.RepositoryNotFoundError, errors.EntryNotFoundError, errors.RevisionNotFoundError)) or status == 404:
        return ModelError(title, "The model does not exist, or is private", "Check the spelling; for a private one set HF_TOKEN")
    if status is not None:
        return ModelError(title, f"The server answered {status}", "Try again later")
    return ModelError(title, printable(str(error)) or type(error).__name__, "Check the network and try again")
