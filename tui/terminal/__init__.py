"""The terminal: driver, frame difference, pastes, round trip, link, clipboard.

May import engine.atomic_write, engine.clock, engine.config, engine.errors, engine.events, engine.host, engine.metrics, engine.text, rich,
textual.
"""
