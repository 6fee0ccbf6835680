"""Derives the facts of a model file for lists, memory predictions and the roofline from its header."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from engine.models.ggml_types import FILE_TYPES, GGML_TYPES, TYPE_BY_NAME
from engine.models.gguf_contents import GgufHeader, TensorInfo, broken
from engine.models.names import SHARD_NAME, model_name, quant_in_name, without_quant, words_of
from engine.text import printable

_DRAFT_PREFIXES = ("mtp-", "eagle3-", "dflash-", "dspark-")
_EMBEDDERS = {"bert", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "modern-bert", "neo-bert", "nomic-bert"}
_EMBEDDERS |= {"nomic-bert-moe", "t5encoder"}
_OTHER_SENSES = ("v.", "a.", "mm.")
"""Prefixes of the names of image and audio tensors."""
_BLOCK = re.compile(r"(?:dec\.)?blk\.(\d+)\.")
_MOST_KV_BYTES = 1 << 50
"""More bytes than any model needs for one position or its recurrent state."""
_RECURRENT_MARKS = (".ssm_", ".shortconv.", ".time_mix_")

_WINDOW_PATTERNS = {
    "cohere2": 4,
    "exaone4": 4,
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "gpt-oss": 2,
    "llama4": 4,
    "olmo2": 4,
    "smallthinker": 4,
}
"""Architectures whose files do not name their windowed layers: every n-th layer has full attention, the others a window."""


class FileKind(StrEnum):
    """Purpose of a GGUF file."""

    MODEL = "model"
    MMPROJ = "mmproj"
    """The image or audio part of a model."""
    ADAPTER = "adapter"
    """LoRA weights for a model."""
    IMATRIX = "imatrix"
    """Statistics that guide quantizing."""
    DRAFT = "draft"
    """A draft model for speculative decoding."""
    VOCABULARY = "vocabulary"
    """A tokenizer without weights."""
    EMBEDDER = "embedding model"
    """Embeds texts, for search and ranking; generates nothing."""
    ENCODER = "encoder-decoder"
    """Encodes the whole text first (T5)."""
    MERGED = "merged vision model"
    """A model and its vision part in one file, as Ollama makes them."""


class KvGroup(msgspec.Struct, frozen=True, array_like=True):
    """Layers whose KV cache has the same shape."""

    layers: int
    k_width: int
    """Elements of K per token and layer."""
    v_width: int
    """Elements of V per token and layer; 0 where V is computed from K."""
    head_k: int
    """Elements of K per head: what the block size of a KV type must divide."""
    head_v: int
    windowed: bool
    """Attends to `ModelFacts.window` tokens only."""


class Split(msgspec.Struct, frozen=True, array_like=True):
    """The position of a file in a split model."""

    number: int
    """Number of the part, from 1."""
    count: int


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Facts of a GGUF file, names made safe to print. Sizes are bytes. For a split model: all its parts together."""

    kind: FileKind
    architecture: str
    name: str
    """Without quant and other suffixes, see `model_name`."""
    said_name: str
    """The name in the metadata, the same for all quants of a model whatever their files are called."""
    family_key: str
    """Equal for quants of one model: digest of tensor names and shapes, name, version and vocabulary."""
    quant: str
    licence: str
    quantized_by: str
    size_label: str
    file_bytes: int
    weight_bytes: int
    n_params: int
    n_params_active: int
    """Parameters active for one token; fewer than `n_params` in a mixture of experts."""
    token_bytes: int
    """Bytes of weights read per token, for the roofline."""
    type_bytes: dict[str, int]
    """Bytes of the weights by tensor type."""
    n_ctx_train: int
    n_vocab: int
    n_embd: int
    n_ff: int
    """Width of the feed-forward layers active for one token."""
    n_head: int
    n_inner: int
    """Width of recurrent layers; 0 for a model without."""
    n_layer: int
    n_expert: int
    n_expert_used: int
    window: int
    """Tokens that windowed layers attend to; 0 when there are none."""
    kv: tuple[KvGroup, ...]
    recurrent_bytes: int
    """State of all recurrent layers for one sequence; 0 for a model without."""
    repackable: dict[str, int]
    """Bytes by tensor type of the matrices that the CPU backend may repack."""
    tied_output: str
    """Tensor type of the token embedding when it also serves as the output matrix, else empty."""
    embedding_bytes: int
    has_template: bool
    vocabulary_digest: str
    missing_bytes: int
    """Missing bytes; 0 for a whole file."""
    split: Split | None = None

    @property
    def bits_per_weight(self) -> float:
        """Average bits per weight; 0 without weights."""
        return 8 * self.weight_bytes / self.n_params if self.n_params else 0.0


def facts_of(header: GgufHeader) -> ModelFacts:
    """Return the facts of one file; raises ModelError for one whose claims contradict its tensors."""
    arch = printable(header.text("general.architecture"), 40)
    tensors = header.tensors
    n_layer = header.number(f"{arch}.block_count")
    if 0 < len(tensors) < n_layer:
        raise broken(header.path, f"It claims {n_layer:,} layers and has {len(tensors):,} tensors")
    blocks = _Blocks(header)
    kv, recurrent_bytes = blocks.kv_groups(), blocks.recurrent_bytes()
    if max(recurrent_bytes, *(group.layers * (group.k_width + group.v_width) for group in kv), 0) > _MOST_KV_BYTES:
        raise broken(header.path, "Its claimed KV cache exceeds the memory of any machine")
    split = _split(header)
    weights = Counter[str]()
    for tensor in tensors:
        weights[GGML_TYPES[tensor.type_id].name] += tensor.n_bytes
    n_expert, n_used = header.number(f"{arch}.expert_count"), header.number(f"{arch}.expert_used_count")
    share = n_used / n_expert if 0 < n_used < n_expert else 1.0
    embedding = next((tensor for tensor in tensors if tensor.name == "token_embd.weight"), None)
    tied = embedding is not None and not any(tensor.name == "output.weight" for tensor in tensors)
    said_name = without_quant(header.text("general.name") or header.text("general.basename")) or model_name(header.path, "")
    n_params = sum(tensor.n_elements for tensor in tensors)
    return ModelFacts(
        kind=kind_of(header),
        architecture=arch,
        name=model_name(header.path, header.text("general.name")),
        said_name=said_name,
        family_key=_family_key(header, said_name),
        quant=quant_of(header),
        licence=printable(header.text("general.license"), 60),
        quantized_by=printable(header.text("general.quantized_by"), 60),
        size_label=printable(header.text("general.size_label"), 20) or size_label(n_params),
        file_bytes=header.file_bytes,
        weight_bytes=sum(weights.values()),
        n_params=n_params,
        n_params_active=sum(_active(tensor.n_elements, tensor, share) for tensor in tensors),
        token_bytes=sum(_active(tensor.n_bytes, tensor, share) for tensor in tensors if _read_per_token(tensor, blocks.extra, tied)),
        type_bytes=dict(weights),
        n_ctx_train=header.number(f"{arch}.context_length"),
        n_vocab=header.count("tokenizer.ggml.tokens") or header.number(f"{arch}.vocab_size"),
        n_embd=header.number(f"{arch}.embedding_length"),
        n_ff=_feed_forward(header, arch, n_used),
        n_head=max(header.numbers(f"{arch}.attention.head_count") or (header.number(f"{arch}.attention.head_count"),)),
        n_inner=header.number(f"{arch}.ssm.inner_size"),
        n_layer=n_layer,
        n_expert=n_expert,
        n_expert_used=n_used,
        window=header.number(f"{arch}.attention.sliding_window"),
        kv=kv,
        recurrent_bytes=recurrent_bytes,
        repackable=_repackable(tensors, blocks.extra),
        tied_output=GGML_TYPES[embedding.type_id].name if tied and embedding else "",
        embedding_bytes=embedding.n_bytes if embedding else 0,
        has_template=bool(header.text("tokenizer.chat_template")),
        vocabulary_digest=header.vocabulary_digest,
        missing_bytes=header.missing_bytes,
        split=split,
    )


def kind_of(header: GgufHeader) -> FileKind:
    """Return the file's purpose, from its metadata, else from its name."""
    said = header.text("general.type").lower()
    arch = header.text("general.architecture")
    stem = header.path.stem.lower()
    is_kind = {
        FileKind.MMPROJ: said == "mmproj" or arch == "clip" or "mmproj" in stem,
        FileKind.ADAPTER: said == "adapter" or "adapter.type" in header.metadata,
        FileKind.IMATRIX: said == "imatrix" or "imatrix.chunk_count" in header.metadata,
        FileKind.DRAFT: stem.startswith(_DRAFT_PREFIXES) or arch.startswith(("eagle3", "dflash")),
        FileKind.VOCABULARY: not header.tensors and header.number("split.count") <= 1,
        FileKind.MERGED: any(tensor.name.startswith(_OTHER_SENSES) for tensor in header.tensors),
        FileKind.ENCODER: arch == "t5",
        FileKind.EMBEDDER: arch in _EMBEDDERS
        or header.number(f"{arch}.pooling_type") > 0
        or header.metadata.get(f"{arch}.attention.causal") is False,
    }
    return next((kind for kind, holds in is_kind.items() if holds), FileKind.MODEL)


def quant_of(header: GgufHeader) -> str:
    """Return the quant's name: that of the metadata, or a more precise one of the file name (`UD-Q4_K_XL`)."""
    shard = SHARD_NAME.fullmatch(header.path.name)
    named = quant_in_name(shard["stem"] if shard else header.path.stem)
    said = FILE_TYPES.get(header.number("general.file_type", -1), "")
    if named and (not said or named.startswith("UD-") or named not in FILE_TYPES.values()):
        return named
    if said:
        return said
    by_type = Counter[int]()
    for tensor in header.tensors:
        by_type[tensor.type_id] += tensor.n_bytes
    return GGML_TYPES[by_type.most_common(1)[0][0]].name.upper() if by_type else ""


def size_label(n_params: int) -> str:
    """Format a number of parameters: 0.6B, 8B, 30B, 7.9M."""
    for unit, scale in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if n_params >= 0.5 * scale:
            value = n_params / scale
            return f"{value:.1f}".removesuffix(".0") + unit if value < 10 else f"{value:.0f}{unit}"
    return str(n_params)


def _family_key(header: GgufHeader, said_name: str) -> str:
    digest = hashlib.blake2b(digest_size=12)
    version = (header.text("general.finetune"), header.text("general.version"), header.vocabulary_digest)
    for word in (words_of(said_name), *version):
        digest.update(word.encode() + b"\0")
    for tensor in sorted(tensor[:2] for tensor in header.tensors if not tensor.name.endswith((".scale", ".input_scale"))):
        digest.update(f"{tensor[0]}{tensor[1]}".encode())
    return digest.hexdigest()


def _split(header: GgufHeader) -> Split | None:
    """Return the part that a file is, from the metadata (counted from 0 there), else from the name."""
    count = header.number("split.count")
    if 1 < count <= 99_999:
        return Split(min(max(header.number("split.no"), 0), count - 1) + 1, count)
    shard = SHARD_NAME.fullmatch(header.path.name)
    return Split(int(shard["number"]), int(shard["count"])) if shard and int(shard["count"]) > 1 else None


def _is_expert(tensor: TensorInfo) -> bool:
    return "_exps" in tensor.name


def _active(amount: int, tensor: TensorInfo, share: float) -> int:
    return round(amount * share) if _is_expert(tensor) else amount


def _read_per_token(tensor: TensorInfo, extra: range, tied: bool) -> bool:
    """Return whether decode reads this tensor for each token: not the embedding table, unless it is the output matrix too."""
    if tensor.name.startswith(("token_embd", "per_layer_token_embd")):
        return tied and tensor.name == "token_embd.weight"
    block = _BLOCK.match(tensor.name)
    return not (tensor.name.startswith("rope_freqs") or (block and int(block[1]) in extra))


def _feed_forward(header: GgufHeader, arch: str, n_expert_used: int) -> int:
    dense = max(header.numbers(f"{arch}.feed_forward_length") or (header.number(f"{arch}.feed_forward_length"),))
    return max(dense, header.number(f"{arch}.expert_feed_forward_length") * max(1, n_expert_used))


def _repackable(tensors: Iterable[TensorInfo], extra: range) -> dict[str, int]:
    found = Counter[str]()
    for tensor in tensors:
        block = _BLOCK.match(tensor.name)
        multiplied = tensor.name == "output.weight" or (block and int(block[1]) not in extra and tensor.name.endswith(".weight"))
        if multiplied and len(tensor.shape) > 1 and tensor.shape[1] % 8 == 0:
            found[GGML_TYPES[tensor.type_id].name] += tensor.n_bytes
    return {name: size for name, size in found.items() if TYPE_BY_NAME[name].block > 1}


class _Blocks:
    """The layers of a model: with a KV cache, with a recurrent state, and unused ones."""

    def __init__(self, header: GgufHeader) -> None:
        self._header = header
        self._arch = header.text("general.architecture")
        self._n_layer = header.number(f"{self._arch}.block_count")
        nextn = header.number(f"{self._arch}.nextn_predict_layers")
        self.extra = range(self._n_layer - nextn, self._n_layer) if 0 < nextn < self._n_layer else range(0)
        """Blocks that only predict further tokens; not loaded for plain decoding."""
        keys, fused, recurrent = set[int](), set[int](), set[int]()
        for tensor in header.tensors:
            block = _BLOCK.match(tensor.name)
            if block is None:
                continue
            rest = tensor.name[block.end() - 1 :]
            if rest.startswith((".attn_k.", ".attn_kv_a_mqa.")):
                keys.add(int(block[1]))
            elif rest.startswith(".attn_qkv."):
                fused.add(int(block[1]))
            elif rest.startswith(_RECURRENT_MARKS):
                recurrent.add(int(block[1]))
        self._attention = {layer for layer in keys | (fused - recurrent) if layer not in self.extra}
        self._recurrent = {layer for layer in recurrent if layer not in self.extra}

    def kv_groups(self) -> tuple[KvGroup, ...]:
        """Group the layers with a KV cache by shape."""
        number = self._number
        n_head = number("attention.head_count")
        head = number("embedding_length") // n_head if n_head else 0
        heads = self._header.numbers(f"{self._arch}.attention.head_count_kv")
        uniform = number("attention.head_count_kv", n_head)
        full_k, full_v = number("attention.key_length", head), number("attention.value_length", head)
        window_k, window_v = number("attention.key_length_swa", full_k), number("attention.value_length_swa", full_v)
        if number("attention.key_length_mla"):
            full_v = window_v = 0
        shared = number("attention.shared_kv_layers")
        groups = Counter[tuple[int, int, int, int, bool]]()
        for layer in sorted(self._attention):
            if layer >= self._n_layer - shared:
                continue
            n_kv = heads[layer] if layer < len(heads) else uniform
            windowed = self._windowed(layer)
            k, v = (window_k, window_v) if windowed else (full_k, full_v)
            groups[n_kv * k, n_kv * v, k, v, windowed] += 1
        return tuple(KvGroup(layers, *shape) for shape, layers in groups.items())

    def recurrent_bytes(self) -> int:
        """Return the bytes of the recurrent state of one sequence: f32, all layers."""
        number = self._number
        embd = number("embedding_length")
        inner, state = number("ssm.inner_size"), number("ssm.state_size")
        if inner:
            rolling = max(0, number("ssm.conv_kernel") - 1) * (inner + 2 * number("ssm.group_count") * state)
            per_layer = rolling + state * inner
        elif number("shortconv.l_cache"):
            per_layer = embd * (number("shortconv.l_cache") - 1)
        else:
            per_layer = embd * (number("token_shift_count", 2) + number("wkv.head_size"))
        return 4 * per_layer * len(self._recurrent)

    def _windowed(self, layer: int) -> bool:
        if not self._number("attention.sliding_window"):
            return False
        key = f"{self._arch}.attention.sliding_window_pattern"
        pattern = self._header.numbers(key)
        if pattern:
            return layer < len(pattern) and bool(pattern[layer])
        every = self._header.number(key) or _WINDOW_PATTERNS.get(self._arch, 0)
        return (layer + 1) % every != 0 if every else True

    def _number(self, key: str, default: int = 0) -> int:
        return self._header.number(f"{self._arch}.{key}", default)
