"""A request in the engine's hands, before and while it runs."""

from __future__ import annotations

import sys
import traceback

from engine.backend import BackendEvent, GenerateRequest, GenerationFinished, StopReason
from engine.clock import now_ns
from engine.errors import XchatError
from engine.timings import compute_timings


class Ticket:
    """A request and the wish to end it. `cancelled` may be set from any thread."""

    def __init__(self, request: GenerateRequest) -> None:
        self.request = request
        self.cancelled = False


def tell(request: GenerateRequest, event: BackendEvent) -> None:
    """Hand an event to whoever made the request; a listener that raises is a fault of its own and must not end the compute thread."""
    try:
        request.on_event(event)
    except Exception:  # noqa: BLE001
        traceback.print_exc(file=sys.stderr)


def conclude_unstarted(request: GenerateRequest, reason: StopReason, error: XchatError | None = None) -> None:
    """Send the one and last event of a request that never got to run."""
    now = now_ns()
    tell(
        request,
        GenerationFinished(
            turn=request.turn,
            at_ns=now,
            reason=reason,
            timings=compute_timings(
                cache_n=0, prompt_n=0, submitted_ns=request.submitted_ns, prefill_start_ns=now, prefill_end_ns=now, token_ns=()
            ),
            started_ns=now,
            prefill_start_ns=now,
            prefill_end_ns=now,
            prompt_tokens=0,
            token_ns=(),
            error=error,
        ),
    )
