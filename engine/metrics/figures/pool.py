"""Figures of parallel answers: total and single speed, waiting turns, and the shared KV cache."""

from __future__ import annotations

from collections.abc import Callable

from engine.backend import PoolNow
from engine.host.value import Unavailable
from engine.metrics.figures.figure import Column, Figure, History, Metric, Reader, Value
from engine.metrics.snapshot import Snapshot

_ONE = Unavailable("one answer after the other: `parallel` is 1")
_SOURCE = "The engine's scheduler, four times a second."


def _pool(read: Callable[[PoolNow], Value]) -> Reader:
    return lambda now: _ONE if now.pool is None else read(now.pool)


def _each(pool: PoolNow) -> float | None:
    return pool.per_second / pool.running if pool.per_second is not None and pool.running else None


def _curve(pool: PoolNow) -> str | None:
    """Format the step time at powers of two and at the largest number of answers."""
    last = max((answers for answers, _ in pool.curve), default=0)
    shown = [f"{answers}: {took:.1f}" for answers, took in pool.curve if answers & (answers - 1) == 0 or answers == last]
    return ", ".join(shown) or None


def _flowing(now: Snapshot) -> float | None:
    return now.pool.per_second if now.pool is not None else None


# fmt: off
POOL: tuple[Figure, ...] = (
    Figure("answers_per_second", "Decode speed of all answers", label="all", unit="tokens/s", read=_pool(lambda pool: pool.per_second),
        panes=("answers",), group="answers", key="per_second", history=History(flowing=True, read=_flowing),
        column=Column("REAL"), sample_chart="Tokens per second over time", metric=Metric("xchat_answers_tokens_per_second"),
        formula="Tokens sampled for all answers in the steps of the last second / the time of these steps.",
        source=_SOURCE, levers="`parallel`, another quant: Q8_0 and Q4_0 gain more than K-quants."),
    Figure("answers_each_per_second", "Decode speed of each answer", label="each", unit="tokens/s", read=_pool(_each),
        panes=("answers",), group="answers", key="each_per_second",
        formula="Decode speed of all answers / answers that are decoded.",
        source=_SOURCE, levers="fewer parallel answers."),
    Figure("answers_running", "Answers in progress", label="answers", unit="answers", read=_pool(lambda pool: pool.running),
        panes=("answers",), group="answers", key="running", fold="max", column=Column("INTEGER"), metric=Metric("xchat_answers_running"),
        formula="Answers that get a token in each step; those whose prompt is still evaluated are not counted.",
        source=_SOURCE, levers="`parallel`."),
    Figure("answers_prefilling", "Prompts in progress", label="prompts", unit="prompts", read=_pool(lambda pool: pool.prefilling),
        panes=("answers",), group="answers", key="prefilling",
        formula="Turns whose prompt is being evaluated.",
        source=_SOURCE, levers="a common prefix of the prompts."),
    Figure("answers_waiting", "Waiting", label="queue", unit="turns", read=_pool(lambda pool: pool.waiting),
        panes=("answers",), group="answers", key="waiting", fold="max", column=Column("INTEGER"), metric=Metric("xchat_answers_waiting"),
        formula="Turns without a slot of the KV cache: new ones, those that wait for a common prefix, and those swapped out.",
        source=_SOURCE, levers="`parallel`, n_ctx."),
    Figure("answers_wait_ms", "Longest wait", label="wait", unit="ms", read=_pool(lambda pool: pool.longest_wait_ms),
        panes=("answers",), group="answers", key="wait_ms", fold="max", metric=Metric("xchat_answers_wait_seconds"),
        formula="Time that the oldest of the waiting turns has waited for a slot.",
        source=_SOURCE, levers="`parallel`, n_ctx."),
    Figure("step_tokens", "Tokens per step", label="per step", unit="tokens", read=_pool(lambda pool: pool.step_tokens),
        panes=("answers",), group="answers", column=Column("REAL"), metric=Metric("xchat_step_tokens"),
        formula="Mean number of tokens in a decode call, over the last second: one for each answer, and pieces of prompts in tiles of 16.",
        source=_SOURCE, levers="the number of answers; prompts fill a step while it takes at most twice its usual time, or 100 ms."),
    Figure("batch_gain", "Gain against one answer", label="gain", unit="x", read=_pool(lambda pool: pool.gain),
        panes=("answers",), group="answers",
        formula="Answers x duration of a step of one answer / duration of a step of all; both as measured on this machine.",
        source=_SOURCE, levers="the number of answers (from 16 on K-quants gain, too), another quant."),
    Figure("step_curve", "Step by number of answers", label="curve", unit="ms", read=_pool(_curve), panes=("answers",), group="answers",
        row=True,
        formula="Moving average of the duration of a decode call that generates one token for each of this number of answers.",
        source="The engine's clock around its decode calls.", levers="threads, another quant, a quieter machine."),
    Figure("cells_used", "KV cache used", label="used", unit="tokens", read=_pool(lambda pool: pool.cells_used),
        panes=("answers",), group="answers", fold="max", column=Column("INTEGER"), metric=Metric("xchat_kv_cells_used"),
        formula="Used cells of the KV cache; cells that several answers share count once.",
        source=_SOURCE, levers="n_ctx."),
    Figure("cells_lent", "KV cache shared", label="lent", unit="tokens", read=_pool(lambda pool: pool.cells_lent),
        panes=("answers",), group="answers",
        formula="Cells that several answers share: a common prefix, evaluated once.",
        source=_SOURCE, levers="prompts with a common prefix."),
    Figure("answers_swaps", "Swaps", label="swaps", unit="swaps", read=_pool(lambda pool: pool.swaps),
        panes=("answers",), group="answers", key="swaps", fold="max", column=Column("INTEGER"), metric=Metric("xchat_swaps", "counter"),
        formula="Number of times that an answer was moved from the KV cache to RAM for a while, since the context was made.",
        source=_SOURCE, levers="n_ctx, fewer parallel answers."),
    Figure("saved_bytes", "KV states in RAM", label="in RAM", unit="bytes", read=_pool(lambda pool: pool.saved_bytes),
        panes=("answers",), group="answers", metric=Metric("xchat_kv_saved_bytes"),
        formula="Copies of KV states outside the cache: of waiting answers, and of earlier conversations.",
        source=_SOURCE, levers="n_ctx; a sixteenth of the free memory, at most 1 GB, is used for them."),
)
# fmt: on
