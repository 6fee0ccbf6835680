"""Model files: contents, checks, locations and memory prediction; pull, quantize, saved KV states.

huggingface_hub is imported only for pulls. Work that needs the native library runs in a child process.

May import engine.atomic_write, engine.child, engine.clock, engine.errors, engine.host, engine.kv_state, engine.metrics, engine.numbers,
engine.paths, engine.presets, engine.regular_file, engine.text, engine.regular_file, filelock, httpx2, huggingface_hub, msgspec.
"""
