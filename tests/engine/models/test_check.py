"""What is said of a file that can't be chatted with, before anything tries to load it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ModelError
from engine.models.check import check_model, parts_of
from tests import ggufs
from tests.engine.models import raw_gguf


def refused(path: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        check_model(path)
    assert path.name in caught.value.title
    assert caught.value.hint
    return caught.value


def split(folder: Path, count: int = 3, skip: tuple[int, ...] = ()) -> list[Path]:
    """A model in parts, the metadata in the first."""
    paths = []
    share = -(-len(raw_gguf.TENSORS) // count)
    for number in range(count):
        path = folder / f"big-{number + 1:05d}-of-{count:05d}.gguf"
        paths.append(path)
        if number + 1 in skip:
            continue
        metadata: dict[str, object] = dict(raw_gguf.MODEL) if number == 0 else {"general.architecture": "llama"}
        metadata |= {"split.no": number, "split.count": count, "split.tensors.count": len(raw_gguf.TENSORS)}
        raw_gguf.write(path, metadata, raw_gguf.TENSORS[number * share : (number + 1) * share])
    return paths


def test_a_good_model_passes(tmp_path: Path) -> None:
    checked = check_model(ggufs.dense(tmp_path / "good.gguf"))
    assert checked.path == tmp_path / "good.gguf"
    assert checked.facts.architecture == "qwen3"


def test_what_is_no_readable_file_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.gguf"
    empty.touch()
    assert "does not exist" in refused(tmp_path / "missing.gguf").title
    assert "folder" in refused(tmp_path).title
    assert "empty" in refused(empty).detail


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = raw_gguf.write(tmp_path / "secret.gguf")
    path.chmod(0)
    assert "permission" in refused(path).detail.lower()


def test_a_cut_file_is_refused_with_the_missing_bytes(tmp_path: Path) -> None:
    path = raw_gguf.write(tmp_path / "cut.gguf")
    os.truncate(path, path.stat().st_size - 4321)
    assert "4,321 bytes" in refused(path).detail


@pytest.mark.parametrize(
    ("name", "changes", "word"),
    [
        ("mmproj-x.gguf", {}, "image or audio"),
        ("lora.gguf", {"general__type": "adapter"}, "adapter"),
        ("i.gguf", {"general__type": "imatrix"}, "statistics"),
        ("mtp-x.gguf", {}, "draft"),
        ("bert.gguf", {"general__architecture": "bert"}, "embedding model"),
        ("qwen3-embedding.gguf", {"llama__pooling_type": 3}, "embedding model"),
        ("encoder.gguf", {"llama__attention__causal": False}, "embedding model"),
        ("t5.gguf", {"general__architecture": "t5"}, "encoder-decoder"),
        ("merged.gguf", {"tensors": (*raw_gguf.TENSORS, ("v.blk.0.attn_q.weight", (64, 64), raw_gguf.F32))}, "vision part"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, name: str, changes: dict[str, Any], word: str) -> None:
    assert word in refused(raw_gguf.write(tmp_path / name, **changes)).detail


def test_a_file_without_an_architecture_or_its_basic_keys_is_refused(tmp_path: Path) -> None:
    assert "architecture" in refused(raw_gguf.write(tmp_path / "a.gguf", general__architecture=None)).detail
    assert "block_count" in refused(raw_gguf.write(tmp_path / "b.gguf", llama__block_count=None)).detail
    assert "token_embd" in refused(raw_gguf.write(tmp_path / "c.gguf", tensors=raw_gguf.TENSORS[1:])).detail


def test_any_part_stands_for_the_whole_split_model(tmp_path: Path) -> None:
    paths = split(tmp_path)
    whole = raw_gguf.write(tmp_path / "whole.gguf")
    by_second = check_model(paths[1])
    assert by_second.parts == tuple(paths)
    assert by_second.path == paths[0]
    alone = check_model(whole)
    assert by_second.facts.n_params == alone.facts.n_params
    assert by_second.facts.kv == alone.facts.kv
    assert by_second.facts.tied_output == alone.facts.tied_output


def test_missing_parts_are_named(tmp_path: Path) -> None:
    paths = split(tmp_path, 3, skip=(2, 3))
    error = refused(paths[0])
    assert "1 of" not in error.detail
    assert paths[1].name in error.detail
    assert paths[2].name in error.detail


def test_a_renamed_part_is_refused(tmp_path: Path) -> None:
    part = split(tmp_path)[0].rename(tmp_path / "renamed.gguf")
    assert "part 1 of 3" in refused(part).detail


def test_a_name_that_claims_too_many_parts_is_one_file() -> None:
    for name in ("x-00001-of-99999.gguf", "x-00000-of-00002.gguf", "x-00003-of-00002.gguf", "x.gguf"):
        assert parts_of(Path(name)) == (Path(name),)


@pytest.mark.parametrize(("type_id", "words"), [(31, "Q4_0_4_4"), (38, "IQ4_NL_8_8"), (4, "Q4_2"), (99, "type 99")])
def test_a_type_that_is_not_read_any_more_is_named_with_what_to_take(tmp_path: Path, type_id: int, words: str) -> None:
    path = raw_gguf.write(tmp_path / "old.gguf", tensors=(*raw_gguf.TENSORS, ("x.weight", (64,), raw_gguf.F32)))
    data = path.read_bytes()
    at = data.index(b"x.weight") + len(b"x.weight") + 4 + 8
    path.write_bytes(data[:at] + type_id.to_bytes(4, "little") + data[at + 4 :])
    error = refused(path)
    assert words in error.detail
    assert ("no longer reads" in error.detail) is (type_id != 99)
