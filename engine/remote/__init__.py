"""Remote engines: any server with an OpenAI-compatible API, behind the same contract as the engine of this process.

May import engine.atomic_write, engine.backend, engine.clock, engine.config, engine.errors, engine.messages, engine.model_ref,
engine.numbers, engine.paths, engine.presets, engine.text, engine.timings, httpx2, msgspec.
"""
