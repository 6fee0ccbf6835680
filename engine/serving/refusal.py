"""Errors of requests: a status, a type and a sentence, in llama-server's terms."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from engine.errors import PromptTooLongError, UsageError, XchatError

_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    500: "server_error",
    501: "not_supported_error",
    503: "unavailable_error",
}
RETRY_S: Final = 1


class Refusal(Exception):  # noqa: N818 - an answer
    """A request that is not answered.

    Attributes:
        status: The HTTP status.
        kind: Its name in the answer.
        message: The reason in a sentence, without details of this machine.
        facts: More fields of the error object.
        retry_s: Seconds until it may be sent again.
    """

    def __init__(self, status: int, message: str, kind: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind or _TYPES.get(status, "invalid_request_error")
        self.facts = facts
        self.retry_s = RETRY_S if status in {429, 503} else None

    @property
    def error(self) -> dict[str, Any]:
        """The error object in llama-server's form."""
        return {"code": self.status, "message": self.message, "type": self.kind, **self.facts}


def refusal_of(error: Exception) -> Refusal:
    """Return the refusal for an error, without the details of unexpected ones."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, PromptTooLongError):
        message = f"request ({error.n_prompt} tokens) exceeds the available context size ({error.n_ctx} tokens), try increasing it"
        return Refusal(400, message, "exceed_context_size_error", n_prompt_tokens=error.n_prompt, n_ctx=error.n_ctx)
    if isinstance(error, UsageError):
        return Refusal(HTTPStatus.BAD_REQUEST, str(error))
    if isinstance(error, XchatError):
        return Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, error.title)
    return Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error")
