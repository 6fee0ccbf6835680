"""One conversation with an engine: the session and its parts.

May import engine.backend, engine.chat, engine.clock, engine.config, engine.errors, engine.events, engine.guide, engine.host,
engine.kv_state, engine.last_used, engine.llama, engine.logprobs, engine.messages, engine.metrics, engine.model_ref, engine.models,
engine.paths, engine.pictures, engine.presets, engine.records, engine.remote, engine.store, engine.text, msgspec.
"""
