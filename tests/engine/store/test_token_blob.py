from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import StoreError
from engine.store.token_blob import pack_ids, pack_times, unpack_ids, unpack_times
from tests.engine.store.records import token_times


@given(st.lists(st.integers(0, 2**62 - 1)))
def test_any_timestamps_come_back_unchanged(values: list[int]) -> None:
    assert unpack_times(pack_times(values)) == tuple(values)


@given(st.lists(st.integers(-(2**31), 2**31 - 1)))
def test_any_token_ids_come_back_unchanged(values: list[int]) -> None:
    assert unpack_ids(pack_ids(values)) == tuple(values)


def test_a_timestamp_costs_about_three_bytes() -> None:
    assert len(pack_times(token_times(1000))) <= 3.1 * 1000


@pytest.mark.parametrize("blob", [b"", b"\x09\x01", b"\x01\x80", pack_ids([1, 2])], ids=["empty", "version", "cut", "ids"])
def test_a_blob_it_did_not_make_is_a_store_error(blob: bytes) -> None:
    with pytest.raises(StoreError):
        unpack_times(blob)
