"""The terminal: driver, frame difference, pastes, round trip, link, clipboard.

May import engine.errors, engine.host, engine.metrics, rich, textual.
"""
