"""Makers of tiny GGUF files: real models with random or scripted weights that load in milliseconds.

Every maker takes the path to write and returns it. Weights come from a fixed seed, so a file is the same in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from tests.gguf_vocabularies import CONTROL_TEXTS, PLAIN_CONTROL_TEXTS, SPECIAL, Vocab, bpe_vocab, byte_alphabet

CHATML = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
"""A ChatML template; its prompts end with a newline, which is where a scripted model begins."""

EMBEDDING = 256
"""Row length of the weights: what K-quants need as a multiple."""
HEADS = 4
HEAD_SIZE = 64
FEED_FORWARD = 512

NEWLINE = ord("\n")
"""Token id of the newline: the first 256 ids of the BPE vocabulary are the bytes."""


class Maker:
    """One GGUF file under construction."""

    def __init__(self, path: Path, architecture: str, *, name: str, n_ctx: int, layers: int, seed: int = 0) -> None:
        self.path = path
        self.writer = gguf.GGUFWriter(path, architecture)
        self._random = np.random.default_rng(seed)
        self.writer.add_type("model")
        self.writer.add_name(name)
        self.writer.add_size_label("tiny")
        self.writer.add_file_type(int(gguf.LlamaFileType.ALL_F32))
        self.writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        self.writer.add_context_length(n_ctx)
        self.writer.add_embedding_length(EMBEDDING)
        self.writer.add_block_count(layers)

    def attention_keys(self, *, heads_kv: int | list[int], rms_eps: float = 1e-6, rope_base: float = 10_000.0) -> None:
        """The hyperparameters of attention and feed-forward layers."""
        self.writer.add_feed_forward_length(FEED_FORWARD)
        self.writer.add_head_count(HEADS)
        self.writer.add_head_count_kv(heads_kv)
        self.writer.add_layer_norm_rms_eps(rms_eps)
        self.writer.add_rope_freq_base(rope_base)

    def bpe(self, vocab: Vocab, template: str | None) -> int:
        """Write a byte-level BPE tokenizer; returns the size of the vocabulary."""
        writer = self.writer
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("qwen2")
        writer.add_token_list(vocab.texts)
        writer.add_token_types(vocab.types)
        writer.add_token_merges(vocab.merges)
        writer.add_bos_token_id(vocab.bos)
        writer.add_eos_token_id(vocab.eos)
        writer.add_add_bos_token(False)
        writer.add_vocab_size(len(vocab.texts))
        if template is not None:
            writer.add_chat_template(template)
        return len(vocab.texts)

    def tensor(self, name: str, weights: NDArray[np.float32]) -> None:
        """Add a tensor; its shape is the reverse of what llama.cpp prints."""
        self.writer.add_tensor(name, np.ascontiguousarray(weights, dtype=np.float32))

    def noise(self, name: str, *shape: int, scale: float = 0.05) -> None:
        """Add a tensor of random weights."""
        self.tensor(name, (self._random.standard_normal(shape) * scale).astype(np.float32))

    def ones(self, *names: str, size: int = EMBEDDING) -> None:
        """Add norm weights that change nothing."""
        for name in names:
            self.tensor(name, np.ones(size, np.float32))

    def embeddings(self, n_vocab: int, special: Sequence[int]) -> None:
        """The input and output matrices; apart from each other, since a tied one makes the model say the same token for ever.

        The model is kept from saying `special` tokens, so that answers are as long as a test wants them.
        """
        self.noise("token_embd.weight", n_vocab, EMBEDDING, scale=0.5)
        output = (self._random.standard_normal((n_vocab, EMBEDDING)) * 0.15).astype(np.float32)
        output[list(special)] = 0
        self.tensor("output.weight", output)

    def attention(self, block: str, *, heads_kv: int, qk_norm: bool, head_size: int = HEAD_SIZE) -> None:
        """The attention weights of one block."""
        self.noise(f"{block}.attn_q.weight", HEADS * head_size, EMBEDDING)
        self.noise(f"{block}.attn_k.weight", heads_kv * head_size, EMBEDDING)
        self.noise(f"{block}.attn_v.weight", heads_kv * head_size, EMBEDDING)
        self.noise(f"{block}.attn_output.weight", EMBEDDING, HEADS * head_size)
        if qk_norm:
            self.ones(f"{block}.attn_q_norm.weight", f"{block}.attn_k_norm.weight", size=head_size)

    def feed_forward(self, block: str) -> None:
        """The feed-forward weights of one block."""
        self.noise(f"{block}.ffn_gate.weight", FEED_FORWARD, EMBEDDING)
        self.noise(f"{block}.ffn_up.weight", FEED_FORWARD, EMBEDDING)
        self.noise(f"{block}.ffn_down.weight", EMBEDDING, FEED_FORWARD)

    def close(self) -> Path:
        """Write everything and return the path."""
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()
        return self.path


def dense(
    path: Path,
    *,
    n_ctx: int = 1024,
    layers: int = 2,
    unused: int = 0,
    template: str | None = CHATML,
    vocab: Vocab | None = None,
    name: str = "tiny dense",
    head_size: int = HEAD_SIZE,
    seed: int = 0,
) -> Path:
    """Full attention with a BPE vocabulary (qwen3). `unused` pads the vocabulary, 150,000 makes it as large as real ones."""
    maker = Maker(path, "qwen3", name=name, n_ctx=n_ctx, layers=layers, seed=seed)
    maker.attention_keys(heads_kv=2)
    maker.writer.add_key_length(head_size)
    maker.writer.add_value_length(head_size)
    n_vocab = maker.bpe(vocab or bpe_vocab(unused=unused), template)
    maker.embeddings(n_vocab, SPECIAL)
    maker.ones("output_norm.weight")
    for i in range(layers):
        block = f"blk.{i}"
        maker.ones(f"{block}.attn_norm.weight", f"{block}.ffn_norm.weight")
        maker.attention(block, heads_kv=2, qk_norm=True, head_size=head_size)
        maker.feed_forward(block)
    return maker.close()


def experts(path: Path, *, n_ctx: int = 1024, layers: int = 2, number: int = 4) -> Path:
    """Full attention with `number` experts in each layer, two of them in use for a token (qwen3moe)."""
    maker = Maker(path, "qwen3moe", name="tiny experts", n_ctx=n_ctx, layers=layers)
    maker.attention_keys(heads_kv=2)
    for add, value in (
        (maker.writer.add_key_length, HEAD_SIZE),
        (maker.writer.add_value_length, HEAD_SIZE),
        (maker.writer.add_expert_count, number),
        (maker.writer.add_expert_used_count, 2),
        (maker.writer.add_expert_feed_forward_length, FEED_FORWARD),
    ):
        add(value)
    n_vocab = maker.bpe(bpe_vocab(), CHATML)
    maker.embeddings(n_vocab, SPECIAL)
    maker.ones("output_norm.weight")
    for i in range(layers):
        block = f"blk.{i}"
        maker.ones(f"{block}.attn_norm.weight", f"{block}.ffn_norm.weight")
        maker.attention(block, heads_kv=2, qk_norm=True)
        maker.noise(f"{block}.ffn_gate_inp.weight", number, EMBEDDING)
        maker.noise(f"{block}.ffn_gate_exps.weight", number, FEED_FORWARD, EMBEDDING)
        maker.noise(f"{block}.ffn_up_exps.weight", number, FEED_FORWARD, EMBEDDING)
        maker.noise(f"{block}.ffn_down_exps.weight", number, EMBEDDING, FEED_FORWARD)
    return maker.close()


def spm(path: Path, *, n_ctx: int = 1024, layers: int = 2, template: str | None = CHATML, seed: int = 0) -> Path:
    """Full attention with a SentencePiece vocabulary and a BOS in front (llama)."""
    maker = Maker(path, "llama", name="tiny spm", n_ctx=n_ctx, layers=layers, seed=seed)
    maker.attention_keys(heads_kv=2)
    maker.writer.add_rope_dimension_count(HEAD_SIZE)
    types = gguf.TokenType
    words = ["▁", "e", "t", "a", "o", "th", "the", "▁the", "in", "er"]
    entries = [("<unk>", types.UNKNOWN, 0.0), ("<s>", types.CONTROL, 0.0), ("</s>", types.CONTROL, 0.0)]
    entries += [(f"<0x{byte:02X}>", types.BYTE, 0.0) for byte in range(256)]
    entries += [(word, types.NORMAL, -float(rank)) for rank, word in enumerate(words)]
    entries += [("<|im_start|>", types.CONTROL, 0.0), ("<|im_end|>", types.CONTROL, 0.0)]
    writer = maker.writer
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([text for text, _, _ in entries])
    writer.add_token_types([kind for _, kind, _ in entries])
    writer.add_token_scores([score for _, _, score in entries])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(len(entries) - 1)
    writer.add_add_bos_token(True)
    writer.add_vocab_size(len(entries))
    if template is not None:
        writer.add_chat_template(template)
    maker.embeddings(len(entries), [number for number, (_, kind, _) in enumerate(entries) if kind is not types.NORMAL])
    maker.ones("output_norm.weight")
    for i in range(layers):
        block = f"blk.{i}"
        maker.ones(f"{block}.attn_norm.weight", f"{block}.ffn_norm.weight")
        maker.attention(block, heads_kv=2, qk_norm=False)
        maker.feed_forward(block)
    return maker.close()


def sliding_window(
    path: Path, *, n_ctx: int = 2048, layers: int = 6, window: int = 64, template: str | None = CHATML, seed: int = 0
) -> Path:
    """Most layers see only the last `window` tokens (gemma3)."""
    maker = Maker(path, "gemma3", name="tiny sliding window", n_ctx=n_ctx, layers=layers, seed=seed)
    maker.attention_keys(heads_kv=2, rope_base=1e6)
    maker.writer.add_key_length(HEAD_SIZE)
    maker.writer.add_value_length(HEAD_SIZE)
    maker.writer.add_sliding_window(window)
    n_vocab = maker.bpe(bpe_vocab(), template)
    maker.embeddings(n_vocab, SPECIAL)
    maker.ones("output_norm.weight")
    for i in range(layers):
        block = f"blk.{i}"
        norms = ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
        maker.ones(*(f"{block}.{norm}.weight" for norm in norms))
        maker.attention(block, heads_kv=2, qk_norm=True)
        maker.feed_forward(block)
    return maker.close()


def hybrid(path: Path, *, n_ctx: int = 1024, template: str | None = CHATML, seed: int = 0) -> Path:
    """Short convolutions with attention in every other layer (lfm2)."""
    heads_kv = [0, 2, 0, 2]
    maker = Maker(path, "lfm2", name="tiny hybrid", n_ctx=n_ctx, layers=len(heads_kv), seed=seed)
    maker.attention_keys(heads_kv=heads_kv, rms_eps=1e-5, rope_base=1e6)
    maker.writer.add_uint32("lfm2.shortconv.l_cache", 3)
    n_vocab = maker.bpe(bpe_vocab(), template)
    maker.embeddings(n_vocab, SPECIAL)
    maker.ones("token_embd_norm.weight")
    for i, heads in enumerate(heads_kv):
        block = f"blk.{i}"
        maker.ones(f"{block}.attn_norm.weight", f"{block}.ffn_norm.weight")
        maker.feed_forward(block)
        if heads:
            maker.attention(block, heads_kv=heads, qk_norm=True)
        else:
            maker.noise(f"{block}.shortconv.conv.weight", EMBEDDING, 3, scale=0.5)
            maker.noise(f"{block}.shortconv.in_proj.weight", 3 * EMBEDDING, EMBEDDING)
            maker.noise(f"{block}.shortconv.out_proj.weight", EMBEDDING, EMBEDDING)
    return maker.close()


def recurrent(path: Path, *, n_ctx: int = 1024, layers: int = 2, template: str | None = CHATML, seed: int = 0) -> Path:
    """No attention at all, one state that every token changes and that forgets slowly (mamba)."""
    inner, state, rank, kernel = 2 * EMBEDDING, 16, 16, 4
    maker = Maker(path, "mamba", name="tiny recurrent", n_ctx=n_ctx, layers=layers, seed=seed)
    maker.writer.add_feed_forward_length(0)
    maker.writer.add_head_count(0)
    maker.writer.add_layer_norm_rms_eps(1e-5)
    maker.writer.add_ssm_conv_kernel(kernel)
    maker.writer.add_ssm_inner_size(inner)
    maker.writer.add_ssm_state_size(state)
    maker.writer.add_ssm_time_step_rank(rank)
    n_vocab = maker.bpe(bpe_vocab(), template)
    maker.embeddings(n_vocab, SPECIAL)
    maker.ones("output_norm.weight")
    for i in range(layers):
        block = f"blk.{i}"
        maker.ones(f"{block}.attn_norm.weight")
        maker.noise(f"{block}.ssm_in.weight", 2 * inner, EMBEDDING)
        maker.noise(f"{block}.ssm_conv1d.weight", inner, kernel, scale=0.5)
        maker.noise(f"{block}.ssm_conv1d.bias", inner)
        maker.noise(f"{block}.ssm_x.weight", rank + 2 * state, inner)
        maker.noise(f"{block}.ssm_dt.weight", inner, rank, scale=0.2)
        maker.noise(f"{block}.ssm_dt.bias", inner)
        decay = -np.tile(np.linspace(0.002, 0.03, state, dtype=np.float32), (inner, 1))
        maker.tensor(f"{block}.ssm_a", decay)
        maker.ones(f"{block}.ssm_d", size=inner)
        maker.noise(f"{block}.ssm_out.weight", EMBEDDING, inner)
    return maker.close()


def scripted(
    path: Path,
    pieces: Sequence[str | bytes],
    *,
    n_ctx: int = 2048,
    template: str | None = CHATML,
    layers: int = 1,
    start: str = "\n",
    controls: Sequence[str] | None = None,
    user_defined: Sequence[str] = (),
) -> Path:
    """A model that, after `start`, says `pieces` one token each and then ends its turn, at temperature 0.

    Attention and feed-forward are zero, so the logits depend on the current token alone, and the output matrix maps each token to
    the next one. Pieces must differ from each other, since a token has one successor. Those that `controls` (the last one ends the
    turn) or `user_defined` hold, and single bytes, are said with the tokens that they have there.
    """
    if controls is None:
        controls = CONTROL_TEXTS if template else PLAIN_CONTROL_TEXTS
    alphabet = byte_alphabet()
    spelled = {piece: "".join(alphabet[byte] for byte in (piece if isinstance(piece, bytes) else piece.encode())) for piece in pieces}
    fresh = [piece for piece in spelled if piece not in {*controls, *user_defined} and len(spelled[piece]) > 1]
    vocab = bpe_vocab(fresh, think=False, controls=controls, user_defined=user_defined)
    ids = {text: number for number, text in enumerate(vocab.texts)}
    said = [ids.get(spelled[piece], ids.get(str(piece), -1)) for piece in pieces]
    if len(set(vocab.texts)) != len(vocab.texts) or len(set(said)) != len(said):
        raise ValueError("pieces must be unique")
    maker = Maker(path, "qwen3", name="scripted", n_ctx=n_ctx, layers=layers, seed=1)
    maker.attention_keys(heads_kv=2)
    maker.writer.add_key_length(HEAD_SIZE)
    maker.writer.add_value_length(HEAD_SIZE)
    n_vocab = maker.bpe(vocab, template)
    random = np.random.default_rng(1)
    embedding = random.standard_normal((n_vocab, EMBEDDING)).astype(np.float32)
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    output = np.zeros_like(embedding)
    chain = [ids[start] if start in ids else ids[alphabet[ord(start)]], *said, vocab.eos]
    for current, following in pairwise(chain):
        output[following] += embedding[current]
    maker.tensor("token_embd.weight", embedding)
    maker.tensor("output.weight", output)
    maker.ones("output_norm.weight")
    for i in range(layers):
        block = f"blk.{i}"
        maker.ones(f"{block}.attn_norm.weight", f"{block}.ffn_norm.weight")
        maker.ones(f"{block}.attn_q_norm.weight", f"{block}.attn_k_norm.weight", size=HEAD_SIZE)
        for name, rows, columns in (
            ("attn_q", HEADS * HEAD_SIZE, EMBEDDING),
            ("attn_k", 2 * HEAD_SIZE, EMBEDDING),
            ("attn_v", 2 * HEAD_SIZE, EMBEDDING),
            ("attn_output", EMBEDDING, HEADS * HEAD_SIZE),
            ("ffn_gate", FEED_FORWARD, EMBEDDING),
            ("ffn_up", FEED_FORWARD, EMBEDDING),
            ("ffn_down", EMBEDDING, FEED_FORWARD),
        ):
            maker.tensor(f"{block}.{name}.weight", np.zeros((rows, columns), np.float32))
    return maker.close()


def vast(path: Path, *, size: int) -> Path:
    """A file whose weights take `size` bytes, all of them a hole: it takes no room on disk."""
    maker = Maker(path, "qwen3", name="vast", n_ctx=1024, layers=1)
    maker.attention_keys(heads_kv=2)
    maker.bpe(bpe_vocab(), CHATML)
    rows = size // (EMBEDDING * 4)
    maker.writer.add_tensor_info("token_embd.weight", (rows, EMBEDDING), np.dtype(np.float32), rows * EMBEDDING * 4)
    maker.writer.write_header_to_file()
    maker.writer.write_kv_data_to_file()
    maker.writer.write_ti_data_to_file()
    maker.writer.close()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + size + gguf.GGUF_DEFAULT_ALIGNMENT)
    return path


def projector_only(path: Path) -> Path:
    """An mmproj file: the eyes of a vision model without the model."""
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_name("tiny eyes")
    writer.add_file_type(int(gguf.LlamaFileType.ALL_F32))
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_tensor("v.patch_embd.weight", np.zeros((8, 3, 4, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def unknown_architecture(path: Path) -> Path:
    """A well-formed file of an architecture that no build knows."""
    maker = Maker(path, "xchatformer", name="from the future", n_ctx=512, layers=1)
    maker.noise("token_embd.weight", maker.bpe(bpe_vocab(), CHATML), EMBEDDING)
    return maker.close()


def duplicate_tokens(path: Path) -> Path:
    """A file whose vocabulary holds the same text twice, which makes the native library abort the process."""
    vocab = bpe_vocab(["twin"])
    vocab.texts.append(vocab.texts[-1])
    vocab.types.append(gguf.TokenType.NORMAL)
    return dense(path, vocab=vocab)


MAKERS: dict[str, Callable[[Path], Path]] = {
    "dense": dense,
    "spm": spm,
    "sliding-window": sliding_window,
    "hybrid": hybrid,
    "recurrent": recurrent,
}
"""One maker for every way a model remembers, by a short name for test ids."""
