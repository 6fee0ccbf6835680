"""The registry of actions and what is derived from it: key bindings, slash commands, footer, palette.

May import engine.events, engine.guide, rich, textual.
"""
