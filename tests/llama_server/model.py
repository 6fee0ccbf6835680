"""A stand-in for the model of those tests, which answers in words and never ends an answer by itself: `python -m … OUT.gguf [TEMPLATE]`.

Attention and feed-forward are zero: the next token depends on the current one alone, by a random table, whatever the KV cache holds.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import gguf
import numpy as np

VOCABULARY, WIDTH, LAYERS, HEADS, FEED_FORWARD, N_CTX = 512, 64, 2, 4, 128, 2048
WORDS = re.findall(
    r"\w+",
    "the a to and was it he she they said big day little girl boy dog cat mom dad play happy sad tree ball park friend Once upon time "
    "there named Lily Tim wanted go saw then but not his her with one so of in on is you I my me what who how why good bad run home "
    "book best meaning life believe very long joke prompt capital France Germany answer hello world test",
)
BLANK = "\u2581"
NORMAL, UNKNOWN, CONTROL, UNUSED, BYTE = 1, 2, 3, 5, 6


def vocabulary() -> tuple[list[bytes], list[float], list[int]]:
    """Texts, scores and types of the tokens: bytes, characters, words, and every beginning of a word, since merging goes in pairs."""
    texts, types = [b"<unk>", b"<s>", b"</s>"], [UNKNOWN, CONTROL, CONTROL]
    texts += [b"<0x%02X>" % byte for byte in range(256)]
    types += [BYTE] * 256
    beginnings = [BLANK + word[:length] for word in WORDS for length in range(len(word), 0, -1)]
    pieces = list(dict.fromkeys([BLANK, *map(chr, range(33, 127)), *(BLANK + word for word in WORDS), *beginnings]))
    pieces = pieces[: VOCABULARY - len(texts)]
    scores = [0.0] * len(texts) + [-float(rank) for rank in range(1, len(pieces) + 1)]
    texts += [piece.encode() for piece in pieces]
    types += [NORMAL] * len(pieces)
    left = VOCABULARY - len(texts)
    return texts + [b"[unused%d]" % n for n in range(left)], scores + [-1e6] * left, types + [UNUSED] * left


def make(path: Path, template: str | None = None) -> Path:
    """Write the model."""
    random = np.random.default_rng(42)
    texts, scores, types = vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("stand-in")
    writer.add_context_length(N_CTX)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(0)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(texts)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    if template is not None:
        writer.add_chat_template(template)
    embeddings = random.standard_normal((VOCABULARY, WIDTH)).astype(np.float32)
    embeddings[:, 0] = 3.0  # with it, the first column of the output decides how likely a token is at all
    output = (random.standard_normal((VOCABULARY, WIDTH)) * 0.35).astype(np.float32)
    output[:, 0] = [-12.0 if kind != NORMAL else 0.8 if len(text) > 5 else 0.0 for text, kind in zip(texts, types, strict=True)]
    writer.add_tensor("token_embd.weight", embeddings)
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    square = (WIDTH, WIDTH)
    shapes = {"attn_q": square, "attn_k": square, "attn_v": square, "attn_output": square}
    shapes |= {"ffn_gate": (FEED_FORWARD, WIDTH), "ffn_up": (FEED_FORWARD, WIDTH), "ffn_down": (WIDTH, FEED_FORWARD)}
    for layer in range(LAYERS):
        for name, shape in shapes.items():
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.zeros(shape, np.float32))
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


if __name__ == "__main__":
    make(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
