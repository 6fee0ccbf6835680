"""What a turn is explained by: its model's file and the settings that it had."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engine.presets.preset import KvType, Preset
from engine.session.explained import _traffic
from tests import ggufs


@pytest.mark.parametrize(("kv_type", "smaller"), [("f16", True), ("q8_0", False), ("q4_0", False)])
def test_a_smaller_kv_cache_is_known_only_where_the_turn_had_a_larger_one(tmp_path: Path, kv_type: KvType, smaller: bool) -> None:
    path = ggufs.dense(tmp_path / "model.gguf")
    now, other = _traffic(str(path), msgspec.json.encode(Preset(type_k=kv_type, type_v=kv_type)).decode())
    assert now is not None
    assert (other is not None) == smaller
    assert _traffic(str(tmp_path / "gone.gguf"), "{}") == _traffic("", "{}") == (None, None)
