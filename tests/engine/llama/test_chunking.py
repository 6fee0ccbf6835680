"""Which tokens travel together."""

from __future__ import annotations

from engine.backend import BackendEvent, TokensDecoded
from engine.clock import NS_PER_MS
from engine.llama.chunking import Delivery, Pace


def chunks_of(gaps_ms: list[int], stream_batch: int) -> list[int]:
    """Sizes of the chunks that tokens with these gaps before them travel in."""
    sent: list[BackendEvent] = []
    delivery = Delivery(1, Pace(stream_batch), sent.append)
    now = 0
    for number, gap in enumerate(gaps_ms):
        now += gap * NS_PER_MS
        delivery.add(str(number), number, now)
    delivery.flush()
    return [len(event.tokens) for event in sent if isinstance(event, TokensDecoded)]


def test_the_first_token_travels_alone_and_at_once() -> None:
    assert chunks_of([0, 1, 1, 1, 1], stream_batch=4) == [1, 4]


def test_one_paints_every_token() -> None:
    assert chunks_of([0, 1, 1], stream_batch=1) == [1, 1, 1]


def test_no_token_waits_longer_than_a_tenth_of_a_second() -> None:
    assert chunks_of([0, 40, 40, 40, 40, 40, 40], stream_batch=16) == [1, 3, 3]


def test_a_slow_model_is_painted_token_by_token() -> None:
    assert chunks_of([0, 300, 300, 300], stream_batch=16) == [1, 1, 1, 1]


def test_the_pace_changes_while_tokens_flow() -> None:
    sent: list[BackendEvent] = []
    pace = Pace(8)
    delivery = Delivery(1, pace, sent.append)
    for number in range(4):
        delivery.add("x", number, number)
    pace.stream_batch = 2
    delivery.add("x", 4, 4)
    assert [len(event.tokens) for event in sent if isinstance(event, TokensDecoded)] == [1, 4]


def test_pieces_tokens_and_times_run_in_parallel() -> None:
    sent: list[BackendEvent] = []
    delivery = Delivery(7, Pace(2), sent.append)
    delivery.add("a", 10, 100)
    delivery.add("", 11, 101)
    delivery.add("b", 12, 102)
    assert sent == [TokensDecoded(7, ("a",), (100,), (10,)), TokensDecoded(7, ("", "b"), (101, 102), (11, 12))]
