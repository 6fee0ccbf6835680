"""A value for each setting that is not its default."""

from __future__ import annotations

from engine.presets.preset import SAMPLING, Sampling

OTHER: dict[str, object] = {
    "description": "another",
    "model": "builtin",
    "quant": "Q8_0",
    "threads": 3,
    "threads_batch": 3,
    "n_ctx": 512,
    "parallel": 2,
    "n_batch": 64,
    "n_ubatch": 64,
    "type_k": "q8_0",
    "type_v": "q8_0",
    "flash_attn": "off",
    "mmap": False,
    "repack": False,
    "stream_batch": 7,
    "max_tokens": 9,
    "system": "Be brief.",
    "thinking": "on",
    **{f"{SAMPLING}.{field}": 1 if field != "repeat_penalty" else 1.5 for field in Sampling.__struct_fields__},
}
"""A value that is not the default, by key; a new setting needs one more."""
