"""Text for the screen and the command line: widths, wording, rows.

May import engine.backend, engine.clock, engine.disturbance, engine.errors, engine.events, engine.metrics, engine.model_ref, engine.numbers,
engine.presets, engine.profiling, engine.records, engine.session, engine.store, engine.text, msgspec, rich, textual.
"""
