"""What the server of an engine elsewhere reports of its own work, beside what is seen from here."""

from __future__ import annotations

from engine.host.value import Unavailable
from engine.metrics.figures.figure import Figure, Reader
from engine.metrics.snapshot import Snapshot

_HERE = Unavailable("the model is computed here")
_SOURCE = "`timings` (llama.cpp, xchat) or `metrics` (vLLM) at the end of the server's answer."
_LEVERS = "the server's own settings and load."


def _said(*names: str) -> Reader:
    """Read the first of these fields that the server reported."""

    def read(now: Snapshot) -> float | Unavailable:
        if now.server is None:
            return _HERE
        return next((now.server[name] for name in names if name in now.server), Unavailable(f"the server reports no {names[0]}"))

    return read


# fmt: off
SERVER: tuple[Figure, ...] = (
    Figure("server_predicted_per_second", "Decode speed on the server", label="server", unit="tokens/s",
        read=_said("predicted_per_second", "tokens_per_second"), panes=("server",), group="server", key="predicted_per_second",
        of_turn=lambda turn: turn.server.get("predicted_per_second", turn.server.get("tokens_per_second")), less_is_better=False,
        formula="`predicted_per_second` as the server reports it. The decode speed beside it is that of the tokens as they arrived here.",
        source=_SOURCE, levers=_LEVERS),
    Figure("server_prompt_per_second", "Prefill speed on the server", label="server", unit="tokens/s", read=_said("prompt_per_second"),
        panes=("server",), group="server", key="prompt_per_second",
        of_turn=lambda turn: turn.server.get("prompt_per_second"), less_is_better=False,
        formula="`prompt_per_second` as the server reports it. The prefill speed beside it counts the time from the request to the first "
        "token here: the server's queue and the network are in it.",
        source=_SOURCE, levers=_LEVERS),
    Figure("server_prompt_ms", "Prefill time on the server", label="server", unit="ms", read=_said("prompt_ms", "time_to_first_token_ms"),
        panes=("server",), group="server", key="prompt_ms",
        of_turn=lambda turn: turn.server.get("prompt_ms", turn.server.get("time_to_first_token_ms")), less_is_better=True,
        formula="`prompt_ms`, or `time_to_first_token_ms`, as the server reports it. What the time to first token here has more is queue, "
        "template and network.",
        source=_SOURCE, levers=_LEVERS),
    Figure("server_queue_ms", "Queue of the server", label="queue", unit="ms", read=_said("queue_time_ms"), panes=("server",),
        group="server", key="queue_ms",
        formula="`queue_time_ms` as the server reports it: waiting before the prompt was evaluated.",
        source="`metrics` of vLLM, started with --enable-per-request-metrics.", levers=_LEVERS),
)
# fmt: on
