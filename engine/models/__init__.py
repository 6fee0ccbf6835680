"""Model files: what they contain, what is wrong with them, where they lie, what memory they take; pull, quantize, saved KV states.

huggingface_hub is imported when something is pulled. What needs the native library runs in a child process.

May import engine.atomic_write, engine.child, engine.clock, engine.errors, engine.host, engine.kv_state, engine.metrics, engine.numbers,
engine.paths, engine.presets, engine.text, engine.written_files, filelock, httpx2, huggingface_hub, msgspec.
"""
