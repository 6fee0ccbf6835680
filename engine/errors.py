"""The errors that are reported to the user.

Each has the failure with its file or key as `title`, the reason as `detail`, and the next step as `hint`. The screen shows them as notices;
the command line prints them on standard error and exits with `exit_code`.
"""

from __future__ import annotations

from typing import Self


class XchatError(Exception):
    """An error to report to the user.

    Attributes:
        title: A short sentence without a full stop that names the file, key or object.
        detail: The reason, a sentence; may be empty.
        hint: The next step, a sentence that names no key; may be empty.
        action: Id of the action of this step; the screen adds its key.
        exit_code: Exit code of a command that ends with this error.
    """

    exit_code = 1

    def __init__(self, title: str, detail: str = "", hint: str = "", action: str = "") -> None:
        super().__init__(title, detail, hint)
        self.title = title
        self.detail = detail
        self.hint = hint
        self.action = action

    def with_title(self, title: str) -> Self:
        """Return the error with another title."""
        return type(self)(title, self.detail, self.hint, self.action)

    def __str__(self) -> str:
        """Format the error for standard error."""
        head = f"{self.title}: {self.detail}" if self.detail else self.title
        text = f"{head.rstrip('.')}. {self.hint}".rstrip()
        return text if text.endswith((".", "?")) else f"{text}."


class UsageError(XchatError):
    """The command line, a setting or a preset is invalid."""

    exit_code = 2


class ModelError(XchatError):
    """A model file can't be found, read, understood or fitted into memory."""

    exit_code = 3


class EngineError(XchatError):
    """The engine failed: a native abort, no memory for a context, a prompt that doesn't fit."""

    exit_code = 4


class PromptTooLongError(EngineError):
    """A prompt does not fit into the context window.

    Attributes:
        n_prompt: Its tokens, or those counted.
        n_ctx: Tokens of the window.
    """

    n_prompt = 0
    n_ctx = 0

    def with_sizes(self, n_prompt: int, n_ctx: int) -> Self:
        """Set both numbers of tokens."""
        self.n_prompt, self.n_ctx = n_prompt, n_ctx
        return self


class StoreError(XchatError):
    """The database can't be opened, read or written."""


class CaptureError(XchatError):
    """A profile can't be recorded, read or exported."""


def of_memory(error: BaseException) -> EngineError | None:
    """Return the error to report when the system refused memory or a thread; None for any other reason."""
    refused_thread = isinstance(error, RuntimeError) and "can't start new thread" in str(error)
    if not refused_thread and not isinstance(error, MemoryError):
        return None
    hint = "End other programs, or raise the limit (`ulimit -a` shows it)."
    return EngineError(f"The system allows xchat no more {'threads' if refused_thread else 'memory'}", "", hint)
