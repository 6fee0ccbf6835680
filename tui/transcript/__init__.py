"""The transcript: messages as rows, rendered when they become visible.

May import engine.messages, engine.records, engine.text, markdown_it, pygments, rich, textual, tui.actions, tui.drawing, tui.text.
"""
