"""What took a turn's time: the cause that is largest comes first, with what would help."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.host.bandwidth import HostLimits
from engine.metrics.bottlenecks import Bottleneck, bottlenecks, turn_ms
from engine.metrics.roofline import ModelTraffic
from engine.records import TurnRecord
from tests.factories import turn_record

TRAFFIC = ModelTraffic(weights_bytes=400_000_000, kv_bytes_per_position=1_000, active_params=600_000_000)
FAST_MEMORY, SLOW_MEMORY = HostLimits(2, 100.0, 1e4), HostLimits(2, 25.0, 1e4)


def turn(*, prompt_ms: float = 100.0, **fields: Any) -> TurnRecord:
    record = turn_record(**fields)
    return replace(
        record, timings=replace(record.timings, predicted_n=100, predicted_ms=2000.0, prompt_ms=prompt_ms, ttft_ms=prompt_ms + 5)
    )


def largest(record: TurnRecord, limits: HostLimits | None = SLOW_MEMORY, **more: Any) -> Bottleneck:
    return bottlenecks(record, TRAFFIC, limits, **more)[0]


def test_decoding_near_the_bandwidth_of_the_machine_is_memory_bound_and_half_the_weights_would_help() -> None:
    found = largest(turn())
    assert "memory-bound at 8" in found.sentence
    assert "up to 100% faster" in found.help or "up to 99% faster" in found.help
    assert found.share == pytest.approx(2000 / 2105, rel=0.01)


def test_decoding_far_below_it_is_not() -> None:
    found = largest(turn(), FAST_MEMORY)
    assert "not memory-bound" in found.sentence
    assert "4.9 times" in found.help or "5.0 times" in found.help


def test_without_limits_the_measurement_is_named() -> None:
    assert "xchat stats --measure" in largest(turn(), None).help


def test_a_long_cache_is_named_with_its_own_remedy() -> None:
    deep = replace(TRAFFIC, kv_bytes_per_position=1_000_000)
    half = replace(deep, kv_bytes_per_position=530_000)
    assert "; q8_0 for the KV cache up to 22%" in bottlenecks(turn(), deep, SLOW_MEMORY, smaller_kv=half)[0].help
    assert "q8_0" not in bottlenecks(turn(), deep, SLOW_MEMORY)[0].help


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"prompt_ms": 9000.0, "diverged_at": 512}, "differs from the KV cache from token 512"),
        ({"prompt_ms": 9000.0}, "came from the KV cache"),
        ({"queue_ms": 90_000.0}, "waited 90.0 s"),
        ({"disturbed": 0.99, "quiet_per_second": 80.0}, "other programs took 99%"),
        ({"template_ms": 9000.0}, "Template and tokenizing"),
    ],
)
def test_the_largest_cause_comes_first(fields: dict[str, Any], named: str) -> None:
    assert named in largest(turn(**fields)).sentence


def test_painting_is_counted_in_the_whole_turn_and_named_in_the_decoding() -> None:
    (painting,) = [one for one in bottlenecks(turn(prompt_ms=5995.0, paint_ms=1000.0), TRAFFIC, SLOW_MEMORY) if "Painting" in one.sentence]
    assert "Painting took 50% of the decode time, 1.0 s" in painting.sentence
    assert painting.share == pytest.approx(1000 / 8000)


def test_what_others_took_is_worth_the_speed_without_them() -> None:
    assert "60% faster, 80.0 tokens/s" in largest(turn(disturbed=0.99, quiet_per_second=80.0)).help


def test_reads_from_the_disk_are_named() -> None:
    assert "read from the disk 5,000 times" in largest(turn(), major_faults=5_000).sentence


def test_small_causes_are_left_out_and_an_empty_turn_has_none() -> None:
    causes = bottlenecks(turn(queue_ms=1.0, template_ms=1.0, paint_ms=5.0, disturbed=0.0), TRAFFIC, SLOW_MEMORY)
    assert len(causes) == 1
    empty = turn_record()
    nothing = replace(empty, timings=replace(empty.timings, prompt_ms=0.0, predicted_ms=0.0, ttft_ms=None, predicted_n=0))
    assert bottlenecks(nothing, TRAFFIC, SLOW_MEMORY) == ()
    assert turn_ms(nothing) == 0
