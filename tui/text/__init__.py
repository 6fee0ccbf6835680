"""Text for cells: what may be shown, widths, wording.

May import engine.backend, engine.disturbance, engine.errors, engine.events, engine.metrics, engine.model_ref, engine.presets,
engine.profiling, engine.records, engine.store, engine.text, rich, textual.
"""
