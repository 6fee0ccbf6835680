"""The family of errors that a person gets to read.

Each says in `title` what failed (and names the file or key), in `detail` why, and in `hint` what to do next. The screen shows them
as notices; the command line prints them on standard error and leaves with `exit_code`.
"""

from __future__ import annotations

from typing import Self


class XchatError(Exception):
    """An error to report to the user.

    Attributes:
        title: One short sentence without a full stop that names the file, key or thing.
        detail: Why, in a sentence; may be empty.
        hint: The next step, in a sentence that names no key; may be empty.
        action: Id of the action that does this step; the screen adds its key.
        exit_code: What a command that ends with this error returns to the shell.
    """

    exit_code = 1

    def __init__(self, title: str, detail: str = "", hint: str = "", action: str = "") -> None:
        super().__init__(title, detail, hint)
        self.title = title
        self.detail = detail
        self.hint = hint
        self.action = action

    def with_title(self, title: str) -> Self:
        """The same error under another title."""
        return type(self)(title, self.detail, self.hint, self.action)

    def __str__(self) -> str:
        """The one or two sentences that go to standard error."""
        head = f"{self.title}: {self.detail}" if self.detail else self.title
        text = f"{head.rstrip('.')}. {self.hint}".rstrip()
        return text if text.endswith((".", "?")) else f"{text}."


class UsageError(XchatError):
    """The command line, a setting or a preset says something that can't be meant."""

    exit_code = 2


class ModelError(XchatError):
    """A model file can't be found, read, understood or fitted into memory."""

    exit_code = 3


class EngineError(XchatError):
    """The engine failed while it worked: a native abort, no memory for a context, a prompt that doesn't fit."""

    exit_code = 4


class PromptTooLongError(EngineError):
    """A prompt does not fit into the context window.

    Attributes:
        n_prompt: Its tokens, or as many of them as were counted.
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
