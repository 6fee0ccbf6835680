"""The laboratory: benchmarks, races and searches that a person starts, and their statistics.

May import engine.child, engine.clock, engine.config, engine.disturbance, engine.errors, engine.guide, engine.host, engine.llama,
engine.model_ref, engine.models, engine.numbers, engine.paths, engine.presets, engine.regular_file, engine.session, engine.store,
engine.text, engine.timings, httpx2, msgspec, numpy.
"""
