"""What this machine does to the engine: checks, each with what was found, what it costs, and what to do about it.

May import engine.atomic_write, engine.backend, engine.clock, engine.config, engine.errors, engine.guide, engine.host, engine.llama,
engine.model_ref, engine.models, engine.numbers, engine.paths, engine.session, engine.store, engine.text, msgspec.
"""
