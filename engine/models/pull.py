"""Downloads models: into the Hugging Face cache, or a file at a URL into xchat's own folder.

huggingface_hub knows the addresses, the token and the layout of its cache. The bytes are downloaded here, because its own download restarts
after every interruption: a pull resumes, is checked against the hub's digest, and can be cancelled.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.errors import ModelError
from engine.models.gguf_header import check_kind
from engine.models.hub import PART_SUFFIX, TIMEOUT_S, Hub, PullCancelled, RemoteFile, announced_bytes, understood
from engine.models.references import Reference
from engine.numbers import byte_size
from engine.text import printable

__all__ = ["Pull", "PullCancelled", "PullPlan", "PullProgress"]

SPARE_BYTES = 256 << 20
"""Bytes to leave free on the disk."""
_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Pauses between attempts after network errors; received bytes reset the count."""
_LOCK_POLL_S = 0.2
_DAMAGED = "The downloaded data does not match the hub's digest"
_ENDLESS = ("The server sends more data than fits on the disk", "It did not announce the file's size", "Download it with another program")
_GIT_DIGITS = 40
_CONTENT_RANGE = re.compile(r"bytes (?P<begin>[0-9]{1,18})-[0-9]{1,18}/(?P<size>[0-9]{1,18}|\*)")


@dataclass(frozen=True, slots=True)
class PullPlan:
    """The files to download, for display."""

    reference: Reference
    files: tuple[RemoteFile, ...]
    revision: str
    """Commit of the repository; empty for an address."""
    free_bytes: int
    """Free bytes on the disk."""

    @property
    def total_bytes(self) -> int:
        """Size of all files, as far as known."""
        return sum(file.size or 0 for file in self.files)

    @property
    def missing_bytes(self) -> int:
        """Bytes still to download."""
        return sum(max(0, (file.size or 0) - file.have) for file in self.files)


@dataclass(frozen=True, slots=True)
class PullProgress:
    """The progress of a pull."""

    file: str
    done_bytes: int
    """Bytes of all files that are done."""
    total_bytes: int
    waiting: bool = False
    """Whether another program downloads the same file and this one waits for it."""


class Pull:
    """One pull. `plan` and `run` block, call them on a worker thread; `cancel` is thread-safe."""

    def __init__(
        self, reference: Reference, *, endpoint: str | None = None, cache: Path | None = None, pauses_s: tuple[float, ...] = _PAUSES_S
    ) -> None:
        """Pull `reference`; `endpoint` and `cache` are those of huggingface_hub unless they are given."""
        self._reference = reference
        self._pauses_s = pauses_s
        self._cancelled = threading.Event()
        self._hub = Hub(endpoint, cache)

    def cancel(self) -> None:
        """Cancel the pull; `run` raises PullCancelled soon after."""
        self._cancelled.set()

    def plan(self) -> PullPlan:
        """Look up the files, and check that they fit on the disk.

        Raises ModelError when there is no such model or quant, no permission, no network, or no room.
        """
        with understood(self._reference):
            files, revision = self._hub.look_up(self._reference)
        folder = files[0].blob.parent
        folder.mkdir(parents=True, exist_ok=True)
        plan = PullPlan(self._reference, files, revision, shutil.disk_usage(folder).free)
        if plan.missing_bytes + SPARE_BYTES > plan.free_bytes:
            free = f"{byte_size(plan.free_bytes)} are free in {printable(str(folder), 300)}"
            detail = f"{byte_size(plan.missing_bytes)} must be downloaded, and {free}"
            raise ModelError(f"Not enough disk space for {self._reference}", detail, "Free some space, or pick a smaller quant")
        return plan

    def run(self, plan: PullPlan, on_progress: Callable[[PullProgress], None] = lambda _progress: None) -> Path:
        """Download the planned files; returns the model's file, the first part of a split one.

        Raises:
            ModelError: The network failed, the disk became full, or the digest is wrong.
            PullCancelled: After `cancel`.
        """
        done = 0
        for file in plan.files:
            before = done

            def report(have: int, waiting: bool = False, *, file: RemoteFile = file, before: int = before) -> None:
                on_progress(PullProgress(file.name, before + have, plan.total_bytes, waiting))

            with understood(self._reference), self._alone(file, report):
                if not file.blob.exists():
                    self._fetch(file, report)
            report(file.size or 0)
            done += file.size or 0
        with understood(self._reference):
            return self._hub.link(plan.reference, plan.files, plan.revision)

    @contextmanager
    def _alone(self, file: RemoteFile, report: Callable[[int, bool], None]) -> Iterator[None]:
        """Hold huggingface_hub's lock of this file, so that no two programs download it."""
        from filelock import FileLock, Timeout

        lock = FileLock(self._hub.lock_of(file))
        while True:
            try:
                lock.acquire(timeout=0)
                break
            except Timeout:
                report(_bytes_of(file.part), True)
                if self._cancelled.wait(_LOCK_POLL_S):
                    raise PullCancelled from None
        try:
            yield
        finally:
            lock.release()

    def _fetch(self, file: RemoteFile, report: Callable[[int], None]) -> None:
        import httpx2

        _remove_parts_of_other_contents(file)
        failures = 0
        while True:
            before = _bytes_of(file.part)
            try:
                self._receive(file, report)
                break
            except (httpx2.TransportError, _ShortError) as error:
                have = _bytes_of(file.part)
                failures = 0 if have > before else failures + 1
                if failures >= len(self._pauses_s) or not self._pauses_s:
                    detail = printable(str(error)) or type(error).__name__
                    hint = f"{byte_size(have)} are kept: pull again to resume" if file.resumable else "Try again"
                    raise ModelError(f"The network failed while downloading {printable(file.name)}", detail, hint) from error
                if self._cancelled.wait(self._pauses_s[failures]):
                    raise PullCancelled from None
        self._check(file)
        file.part.replace(file.blob)
        if not file.digest:
            try:
                check_kind(file.blob)
            except ModelError:
                file.blob.unlink()
                raise

    def _receive(self, file: RemoteFile, report: Callable[[int], None]) -> None:
        """Append the missing bytes; raises when the connection breaks, keeping the bytes so far."""
        from huggingface_hub import hf_raise_for_status

        from engine.models.http_client import UNBOUNDED, client

        with file.part.open("ab") as part:
            have = part.tell() if file.resumable else part.truncate(0)
            if file.size is not None and have >= file.size:
                return
            headers = {**self._hub.headers_for(file.url)}
            if have:
                headers |= {"Range": f"bytes={have}-"} | ({"If-Range": file.validator} if file.validator else {})
            with client().stream("GET", file.url, headers=headers, timeout=TIMEOUT_S, extensions=UNBOUNDED) as response:
                if response.status_code == 416:
                    part.truncate(0)
                    raise _ShortError("The server can't send the rest of the file")
                hf_raise_for_status(response)
                if response.status_code != 206:
                    part.truncate(0)
                    have = 0
                size = _size_of_whole(file, response.headers, have)
                most = size if size is not None else have + shutil.disk_usage(file.part.parent).free - SPARE_BYTES
                for chunk in response.iter_raw():
                    if self._cancelled.is_set():
                        raise PullCancelled
                    if have + len(chunk) > most:
                        part.truncate(0)
                        raise ModelError(*_ENDLESS) if size is None else _changed(file, "The server sends more than it announced")
                    part.write(chunk)
                    have += len(chunk)
                    report(have)
            part.flush()
            os.fsync(part.fileno())
        if size is not None and have < size:
            raise _ShortError(f"The connection closed after {have:,} of {size:,} bytes")

    def _check(self, file: RemoteFile) -> None:
        """Compare size and digest; remove a wrong file."""
        size = file.part.stat().st_size
        wrong = f"It has {size:,} bytes instead of {file.size:,}" if file.size is not None and size != file.size else ""
        if not wrong and file.digest:
            git = len(file.digest) == _GIT_DIGITS
            digest = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False) if git else hashlib.sha256()
            with file.part.open("rb") as part:
                wrong = "" if hashlib.file_digest(part, lambda: digest).hexdigest() == file.digest else _DAMAGED
        if wrong:
            file.part.unlink(missing_ok=True)
            raise ModelError(f"{printable(file.name)} was damaged in transfer", wrong, "Pull it again")


def _size_of_whole(file: RemoteFile, headers: Mapping[str, str], have: int) -> int | None:
    """Return the file's size according to this response, which continues after `have` bytes; None when unknown.

    Raises:
        ModelError: The content is not the planned one.
        _ShortError: It does not continue at the requested byte.
    """
    if have:
        place = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        if place is None or int(place["begin"]) != have:
            raise _ShortError("The server sent another part of the file")
        size = None if place["size"] == "*" else int(place["size"])
    else:
        size = announced_bytes(headers)
    tag = headers.get("ETag", "")
    if (size is not None and file.size not in {None, size}) or (file.validator.startswith('"') and tag not in {"", file.validator}):
        raise _changed(file)
    return size if file.size is None else file.size


def _changed(file: RemoteFile, detail: str = "") -> ModelError:
    return ModelError(f"{printable(file.name)} changed on the server during the download", detail, "Pull it again")


def _bytes_of(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _remove_parts_of_other_contents(file: RemoteFile) -> None:
    """Remove partial downloads of earlier contents of an address."""
    if file.digest:
        return
    ours = re.compile(rf"{re.escape(file.blob.name)}(\.[0-9a-f]{{16}})?{re.escape(PART_SUFFIX)}")
    for path in file.blob.parent.iterdir():
        if path != file.part and ours.fullmatch(path.name):
            path.unlink(missing_ok=True)


class _ShortError(Exception):
    """The server ended early."""
