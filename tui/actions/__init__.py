"""The one registry of actions and what is made from it: key bindings, slash commands, the palette.

May import engine.guide, rich, textual.
"""
