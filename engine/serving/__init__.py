"""The engine over HTTP: an OpenAI-compatible server in this process, on an event loop in a thread of its own.

May import engine.backend, engine.chat, engine.clock, engine.config, engine.errors, engine.llama, engine.logprobs, engine.messages,
engine.metrics, engine.model_ref, engine.paths, engine.presets, engine.records, engine.regular_file, engine.session, engine.store,
engine.text, engine.timings, msgspec, uvicorn.
"""
