"""The header reader: right on good files, quick to refuse and clear about it on bad ones."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from engine.errors import ModelError
from engine.models.facts import FileKind, facts_of, size_label
from engine.models.facts_cache import FactsCache
from engine.models.ggml_types import FILE_TYPES, GGML_TYPES
from engine.models.gguf_contents import SkippedArray
from engine.models.gguf_header import read_header
from engine.models.gguf_metadata import KnownArrays
from engine.models.names import model_name, quant_in_name
from tests import ggufs
from tests.engine.models import raw_gguf
from tests.examples import examples
from tests.gguf_vocabularies import bpe_vocab


def refused(path: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        read_header(path)
    assert path.name.isprintable() is False or path.name in caught.value.title
    assert caught.value.detail
    assert caught.value.hint
    return caught.value


def test_types_agree_with_the_gguf_package() -> None:
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType, LlamaFileType

    # The package has the block size of Q8_1 (which no file uses) before ggml shrank it, and lacks what is newer than itself.
    theirs = {int(kind): sizes for kind, sizes in GGML_QUANT_SIZES.items() if kind != GGMLQuantizationType.Q8_1}
    assert {number: (GGML_TYPES[number].block, GGML_TYPES[number].size) for number in theirs} == theirs
    assert all(GGML_TYPES[int(kind)].name.lower() == kind.name.lower() for kind in GGML_QUANT_SIZES)
    named = {int(kind): kind.name.removeprefix("MOSTLY_").removeprefix("ALL_").removesuffix("_MOE") for kind in LlamaFileType}
    del named[1024]
    assert {number: FILE_TYPES[number] for number in named} == named


def test_reads_what_the_gguf_package_writes(tmp_path: Path) -> None:
    path = ggufs.dense(tmp_path / "dense.gguf", layers=3)
    header = read_header(path)
    assert header.text("general.architecture") == "qwen3"
    assert header.number("qwen3.block_count") == 3
    assert header.count("tokenizer.ggml.tokens") == 263
    assert header.missing_bytes == 0
    assert header.data_offset + sum(-(-tensor.n_bytes // 32) * 32 for tensor in header.tensors) == path.stat().st_size
    assert header.tensors[0].name == "token_embd.weight"
    assert header.tensors[0].shape == (256, 263)


def test_a_vocabulary_longer_than_the_first_read_is_walked_and_not_decoded(tmp_path: Path) -> None:
    tokens = [f"token number {i}" for i in range(20_000)]
    path = raw_gguf.write(tmp_path / "long.gguf", tokenizer__ggml__tokens=tokens, after="the end")
    header = read_header(path)
    assert header.metadata["tokenizer.ggml.tokens"] == SkippedArray(8, 20_000)
    assert header.text("after") == "the end"
    assert header.missing_bytes == 0


def test_the_same_vocabulary_gives_the_same_digest(tmp_path: Path) -> None:
    one, other = ggufs.dense(tmp_path / "one.gguf"), ggufs.dense(tmp_path / "other.gguf", layers=1)
    changed = ggufs.dense(tmp_path / "changed.gguf", vocab=bpe_vocab(["hello"]))
    digests = [read_header(path).vocabulary_digest for path in (one, other, changed)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"GG", "GGUF"),
        (b"GGUF\x03\0\0\0", "middle of its header"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG image"),
        (b"PK\x03\x04" + bytes(100), "ZIP archive"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\n <html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
        (struct.pack("<Q", 2) + b"{}" + bytes(100), "safetensors"),
        (bytes(4096), "zeros"),
        (b"just some text that is not a model at all", "begin with GGUF"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 99, 0, 0), "version 99"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0), "tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**64 - 1), "metadata entries"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**40) + bytes(40), "middle of its header"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + raw_gguf.string("a") + struct.pack("<IIQ", 9, 8, 2**60) + bytes(64), "strings in a"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + raw_gguf.string("a") + struct.pack("<IIQ", 9, 4, 2**61) + bytes(64), "values in a"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + raw_gguf.string("a") + struct.pack("<IIQ", 9, 9, 1) + bytes(64), "unknown type 9"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + raw_gguf.string("a") + struct.pack("<I", 77) + bytes(64), "unknown type 77"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + 2 * (raw_gguf.string("a") + struct.pack("<IB", 0, 1)), "twice"),
    ],
)
def test_a_broken_file_is_refused_with_its_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    assert reason in refused(path).detail


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (raw_gguf.string("t") + struct.pack("<I", 9) + bytes(128), "9 dimensions"),
        (raw_gguf.string("t") + struct.pack("<IQIQ", 1, 64, 99, 0) + bytes(64), "type 99"),
        (raw_gguf.string("t") + struct.pack("<IQIQ", 1, 33, 8, 0) + bytes(64), "impossible shape 33"),
        (raw_gguf.string("t") + struct.pack("<IQQIQ", 2, 2**40, 2**40, 0, 0) + bytes(64), "impossible shape"),
        (raw_gguf.string("t") + struct.pack("<IQIQ", 1, 32, 8, 7) + bytes(64), "impossible offset 7"),
        (raw_gguf.string("t" * 64) + struct.pack("<IQIQ", 1, 32, 8, 0) + bytes(64), "tensor name"),
    ],
)
def test_an_impossible_tensor_is_refused(tmp_path: Path, tensor: bytes, reason: str) -> None:
    path = tmp_path / "tensor.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + tensor)
    assert reason in refused(path).detail


def test_two_tensors_of_one_name_are_refused(tmp_path: Path) -> None:
    path = raw_gguf.write(tmp_path / "twice.gguf", tensors=[("t", (32,), 8), ("t", (32,), 8)])
    assert "twice" in refused(path).detail


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    for path, word in ((tmp_path / "none.gguf", "does not exist"), (tmp_path, "folder"), (tmp_path / "pipe.gguf", "regular")):
        with pytest.raises(ModelError, match=word):
            read_header(path)


def test_control_characters_of_names_never_reach_a_message(tmp_path: Path) -> None:
    path = tmp_path / "evil\x1b[31m\u202e.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + 2 * (raw_gguf.string("a\x1b]0;x\x07") + struct.pack("<IB", 0, 1)))
    assert str(refused(path)).isprintable()


def test_truncation_of_the_data_is_counted_and_not_fatal(tmp_path: Path) -> None:
    path = raw_gguf.write(tmp_path / "cut.gguf")
    os.truncate(path, path.stat().st_size - 1000)
    assert read_header(path).missing_bytes == 1000


@examples(150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 4000), at=st.integers(0, 4000), byte=st.integers(0, 255))
def test_any_damage_ends_in_a_header_or_a_model_error(tmp_path: Path, cut: int, at: int, byte: int) -> None:
    whole = bytearray(raw_gguf.header(raw_gguf.MODEL, raw_gguf.TENSORS)[0])
    whole[at % len(whole)] = byte
    path = tmp_path / "damaged.gguf"
    path.write_bytes(whole[: len(whole) - cut] if cut < len(whole) else whole)
    with suppress(ModelError):
        facts_of(read_header(path))


def test_facts_of_a_dense_model(tmp_path: Path) -> None:
    facts = facts_of(read_header(ggufs.dense(tmp_path / "dense.gguf", layers=2)))
    assert (facts.kind, facts.architecture, facts.quant, facts.n_layer) == (FileKind.MODEL, "qwen3", "F32", 2)
    assert facts.bits_per_weight == pytest.approx(32)
    assert facts.has_template
    assert [(group.layers, group.k_width, group.head_k) for group in facts.kv] == [(2, 128, 64)]


def test_an_embedding_that_is_the_output_too_is_read_for_every_token(tmp_path: Path) -> None:
    tied = facts_of(read_header(raw_gguf.write(tmp_path / "tied.gguf")))
    own = facts_of(
        read_header(raw_gguf.write(tmp_path / "own.gguf", tensors=[*raw_gguf.TENSORS, ("output.weight", (64, 300), raw_gguf.Q8_0)]))
    )
    assert (tied.tied_output, own.tied_output) == ("q8_0", "")
    assert tied.token_bytes == own.token_bytes == tied.weight_bytes


def test_experts_count_by_the_share_that_is_used(tmp_path: Path) -> None:
    tensors = [*raw_gguf.TENSORS, ("output.weight", (64, 300), 8), ("blk.0.ffn_up_exps.weight", (64, 128, 8), 8)]
    facts = facts_of(read_header(raw_gguf.write(tmp_path / "moe.gguf", tensors=tensors, llama__expert_count=8, llama__expert_used_count=2)))
    experts = 64 * 128 * 8
    assert facts.n_params - facts.n_params_active == experts * 3 // 4
    assert facts.token_bytes == facts.weight_bytes - facts.embedding_bytes - experts * 34 // 32 * 3 // 4


@pytest.mark.parametrize(
    ("name", "changes", "kind"),
    [
        ("mmproj-model-f16.gguf", {}, FileKind.MMPROJ),
        ("vision.gguf", {"general__architecture": "clip"}, FileKind.MMPROJ),
        ("lora.gguf", {"general__type": "adapter"}, FileKind.ADAPTER),
        ("m.imatrix.gguf", {"general__type": "imatrix"}, FileKind.IMATRIX),
        ("eagle3-tiny.gguf", {}, FileKind.DRAFT),
        ("plain.gguf", {}, FileKind.MODEL),
    ],
)
def test_kinds_are_kept_apart(tmp_path: Path, name: str, changes: dict[str, Any], kind: FileKind) -> None:
    assert facts_of(read_header(raw_gguf.write(tmp_path / name, **changes))).kind is kind


def test_a_file_without_tensors_is_a_vocabulary(tmp_path: Path) -> None:
    assert facts_of(read_header(raw_gguf.write(tmp_path / "v.gguf", tensors=[]))).kind is FileKind.VOCABULARY


@pytest.mark.parametrize(
    ("stem", "quant"),
    [
        ("Qwen3-8B-Q4_K_M", "Q4_K_M"),
        ("gemma-UD-Q4_K_XL", "UD-Q4_K_XL"),
        ("model.i1-IQ3_XXS", "IQ3_XXS"),
        ("llama-2-7b.q5_0", "Q5_0"),
        ("x-fp16", "F16"),
        ("x-bf16", "BF16"),
        ("gpt-oss-20b-mxfp4", "MXFP4"),
        ("QwQ-32B", ""),
        ("Q", ""),
    ],
)
def test_the_quant_is_found_in_a_name(stem: str, quant: str) -> None:
    assert quant_in_name(stem) == quant


@pytest.mark.parametrize(
    ("file", "said", "name"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "Smollm2 135M 8k Lc100K Mix1 Ep2", "SmolLM2-135M-Instruct"),
        ("Qwen3-0.6B-Q8_0.gguf", "Qwen3 0.6B", "Qwen3 0.6B"),
        ("big-UD-Q4_K_XL-00001-of-00003.gguf", "", "big"),
        ("model.gguf", "Llama 3.2 1B", "Llama 3.2 1B"),
        ("ggml-model-f16.gguf", "Llama 3.2 1B F16", "Llama 3.2 1B"),
        ("sha256-00ff", "Llama 3.2 1B", "Llama 3.2 1B"),
        ("Q4_0.gguf", "", "Q4_0"),
    ],
)
def test_a_model_is_called_as_its_file_unless_that_says_nothing(file: str, said: str, name: str) -> None:
    assert model_name(Path("/models") / file, said) == name


def test_quants_of_one_model_are_one_family(tmp_path: Path) -> None:
    paths = [
        raw_gguf.write(tmp_path / "tiny-Q8_0.gguf", general__name="Tiny Test Q8_0"),
        raw_gguf.write(
            tmp_path / "tiny.F16.gguf", general__name="Tiny-Test", general__file_type=1, tensors=[(n, s, 1) for n, s, _ in raw_gguf.TENSORS]
        ),
        raw_gguf.write(tmp_path / "other.gguf", general__name="Tiny Test", general__finetune="Other"),
    ]
    facts = [facts_of(read_header(path)) for path in paths]
    assert facts[0].family_key == facts[1].family_key != facts[2].family_key
    assert [fact.quant for fact in facts] == ["Q8_0", "F16", "Q8_0"]


@pytest.mark.parametrize(
    ("n", "label"), [(596_049_920, "0.6B"), (7_900_000, "7.9M"), (8_030_000_000, "8B"), (30_500_000_000, "30B"), (0, "0")]
)
def test_sizes_are_written_as_people_write_them(n: int, label: str) -> None:
    assert size_label(n) == label


def test_facts_are_remembered_until_the_file_changes(tmp_path: Path) -> None:
    path = raw_gguf.write(tmp_path / "m.gguf")
    cache = FactsCache(tmp_path / "cache.msgpack")
    first = cache.facts([path])
    cache.save()
    status = path.stat()
    path.write_bytes(b"X" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert FactsCache(tmp_path / "cache.msgpack").facts([path]) == first
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(ModelError):
        FactsCache(tmp_path / "cache.msgpack").facts([path])


@pytest.mark.parametrize("content", [b"", b"\xc1 not msgpack", b"\x81\xa6layout\x00"])
def test_a_damaged_cache_is_only_forgotten(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cache.msgpack").write_bytes(content)
    cache = FactsCache(tmp_path / "cache.msgpack")
    assert cache.facts([raw_gguf.write(tmp_path / "m.gguf")]).name == "m"


def test_a_vocabulary_known_from_another_file_is_told_by_comparing_all_of_it(tmp_path: Path) -> None:
    tokens = [f"token number {i}" for i in range(5000)]
    first = raw_gguf.write(tmp_path / "a.gguf", tokenizer__ggml__tokens=tokens, after="a")
    same = raw_gguf.write(tmp_path / "b.gguf", tokenizer__ggml__tokens=tokens, after="b")
    other = raw_gguf.write(tmp_path / "c.gguf", tokenizer__ggml__tokens=[*tokens[:-1], "last number 4999!"], after="c")
    known = KnownArrays()
    for path in (first, same, other):
        assert read_header(path, known) == read_header(path)
    os.truncate(same, 50_000)
    with pytest.raises(ModelError, match="middle of its header"):
        read_header(same, known)
