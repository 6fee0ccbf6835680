"""Screens to choose, download and quantize models, and for presets and settings.

May import engine.config, engine.errors, engine.guide, engine.host, engine.model_ref, engine.models, engine.numbers, engine.paths,
engine.presets, engine.remote, engine.session, engine.store, engine.text, msgspec, rich, textual, tui.actions, tui.choices, tui.dialogs,
tui.text.
"""
