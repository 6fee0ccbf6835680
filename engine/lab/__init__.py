"""The laboratory: measurements that a person starts, their statistics, and what follows from them.

May import engine.child, engine.clock, engine.config, engine.disturbance, engine.errors, engine.guide, engine.host, engine.llama,
engine.model_ref, engine.models, engine.numbers, engine.paths, engine.presets, engine.session, engine.store, engine.text, engine.timings,
httpx2, msgspec, numpy.
"""
