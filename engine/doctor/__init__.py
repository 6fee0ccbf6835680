"""Checks of this machine for what slows the engine, each with a finding, its cost and its fix.

May import engine.atomic_write, engine.backend, engine.clock, engine.config, engine.errors, engine.guide, engine.host, engine.llama,
engine.model_ref, engine.models, engine.numbers, engine.paths, engine.regular_file, engine.session, engine.store, engine.text, msgspec.
"""
