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
    "n_gpu_layers": 5,
    "devices": "none",
    "rpc": "127.0.0.1:50052",
    "split_mode": "row",
    "tensor_split": "3,1",
    "main_gpu": 1,
    "cpu_moe": True,
    "n_cpu_moe": 2,
    "kv_offload": False,
    "op_offload": False,
    "mmproj": "none",
    "stream_batch": 7,
    "max_tokens": 9,
    "system": "Be brief.",
    "thinking": "on",
    "repeatable": True,
    "result_cache": True,
    "json_schema": "{}",
    "grammar": 'start: "a"',
    "regex": "a+",
    "logprobs": 3,
    "lookup": "off",
    **{f"{SAMPLING}.{field}": 1 for field in Sampling.__struct_fields__},
    **{f"{SAMPLING}.{field}": 0.5 for field in ("repeat_penalty", "typical_p", "dynatemp_exponent", "adaptive_decay")},
    f"{SAMPLING}.logit_bias": "5+1",
    f"{SAMPLING}.ignore_eos": True,
}
"""A value that is not the default, by key; a new setting needs one more."""
