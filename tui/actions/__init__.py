"""The registry of actions, with the key bindings, slash commands, footer and palette derived from it.

May import engine.events, engine.guide, rich, textual.
"""
