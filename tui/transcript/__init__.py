"""The transcript: messages as lines, drawn when they are visible.

May import engine.messages, engine.records, engine.text, markdown_it, pygments, rich, textual, tui.actions, tui.drawing.
"""
