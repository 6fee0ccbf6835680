"""Choosing, fetching and quantizing models; presets.

May import engine.errors, engine.guide, engine.host, engine.model_ref, engine.models, engine.numbers, engine.paths, engine.presets,
engine.session, engine.store, engine.text, msgspec, rich, textual, tui.actions, tui.choices, tui.dialogs, tui.text.
"""
