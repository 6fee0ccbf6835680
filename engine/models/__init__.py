"""Model files: what is in them, what is wrong with them, where they lie, what memory they take; pull, quantize, saved KV states.

May import `engine.errors`, `engine.paths`, `engine.atomic_write`, `engine.presets`, `engine.metrics.roofline` and the standard library
beside msgspec and psutil; huggingface_hub and what it brings only when something is pulled. Never a native library: what needs one
runs in a child process.
"""
