"""Makers of tiny projectors (mmproj) with random weights: the whole path of a picture runs without a download."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from tests.gguf_vocabularies import SPECIAL, bpe_vocab
from tests.ggufs import CHATML, EMBEDDING, HEAD_SIZE, HEADS, Maker

WIDTH, FEED_FORWARD, LAYERS, PATCH = 64, 128, 2, 14


class _Maker:
    def __init__(self, path: Path, kind: str, out: int, image: int, layers_missing: int = 0) -> None:
        self.writer = writer = gguf.GGUFWriter(path, "clip")
        self._random = np.random.default_rng(7)
        writer.add_type("mmproj")
        writer.add_name(f"tiny {kind}")
        writer.add_file_type(0)
        writer.add_bool("clip.has_vision_encoder", True)
        writer.add_string("clip.projector_type", kind)
        keys = {
            "embedding_length": WIDTH,
            "feed_forward_length": FEED_FORWARD,
            "block_count": LAYERS,
            "projection_dim": out,
            "attention.head_count": 2,
            "image_size": image,
            "patch_size": PATCH,
        }
        for key, value in keys.items():
            writer.add_uint32(f"clip.vision.{key}", value)
        writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
        writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
        writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
        writer.add_bool("clip.use_gelu", True)
        self.noise("v.patch_embd.weight", WIDTH, 3, PATCH, PATCH)
        self.zeros("v.patch_embd.bias", WIDTH)
        self.noise("v.position_embd.weight", (image // PATCH) ** 2, WIDTH)
        for number in range(LAYERS - layers_missing):
            self._layer(f"v.blk.{number}")
        self.ones("v.post_ln.weight", WIDTH)
        self.zeros("v.post_ln.bias", WIDTH)

    def noise(self, name: str, *shape: int, scale: float = 0.05) -> None:
        self.writer.add_tensor(name, (self._random.standard_normal(shape) * scale).astype(np.float32))

    def ones(self, name: str, size: int) -> None:
        self.writer.add_tensor(name, np.ones(size, np.float32))

    def zeros(self, name: str, size: int) -> None:
        self.writer.add_tensor(name, np.zeros(size, np.float32))

    def _layer(self, block: str) -> None:
        for name in ("q", "k", "v", "out"):
            self.noise(f"{block}.attn_{name}.weight", WIDTH, WIDTH)
            self.zeros(f"{block}.attn_{name}.bias", WIDTH)
        for name in ("ln1", "ln2"):
            self.ones(f"{block}.{name}.weight", WIDTH)
            self.zeros(f"{block}.{name}.bias", WIDTH)
        self.noise(f"{block}.ffn_up.weight", FEED_FORWARD, WIDTH)
        self.zeros(f"{block}.ffn_up.bias", FEED_FORWARD)
        self.noise(f"{block}.ffn_down.weight", WIDTH, FEED_FORWARD)
        self.zeros(f"{block}.ffn_down.bias", WIDTH)

    def close(self) -> None:
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()


def llava(path: Path, *, out: int = EMBEDDING, image: int = 56, layers_missing: int = 0) -> Path:
    """Pictures become squares of `image` pixels, and 16 tokens with the usual size (llava 1.5)."""
    maker = _Maker(path, "mlp", out, image, layers_missing)
    maker.noise("mm.0.weight", out, WIDTH)
    maker.zeros("mm.0.bias", out)
    maker.noise("mm.2.weight", out, out, scale=0.3)
    maker.zeros("mm.2.bias", out)
    maker.close()
    return path


def gemma(path: Path, *, out: int = EMBEDDING, image: int = 56) -> Path:
    """The tokens of a picture attend to each other in both directions (gemma3)."""
    maker = _Maker(path, "gemma3", out, image)
    maker.writer.add_uint32("clip.vision.projector.scale_factor", 2)
    maker.noise("mm.input_projection.weight", WIDTH, out, scale=0.3)
    maker.ones("mm.soft_emb_norm.weight", WIDTH)
    maker.close()
    return path


def qwen_text(path: Path) -> Path:
    """A text model whose positions have several dimensions (qwen2vl)."""
    maker = Maker(path, "qwen2vl", name="tiny positions", n_ctx=1024, layers=1)
    maker.attention_keys(heads_kv=2)
    maker.writer.add_rope_dimension_sections([8, 12, 12, 0])
    maker.embeddings(maker.bpe(bpe_vocab(), CHATML), SPECIAL)
    maker.ones("output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight")
    maker.attention("blk.0", heads_kv=2, qk_norm=False)
    for name, size in (("q", HEADS * HEAD_SIZE), ("k", 2 * HEAD_SIZE), ("v", 2 * HEAD_SIZE)):
        maker.tensor(f"blk.0.attn_{name}.bias", np.zeros(size, np.float32))
    maker.feed_forward("blk.0")
    return maker.close()
