"""The transcript: messages as rows, rendered when they become visible.

May import engine.logprobs, engine.messages, engine.numbers, engine.records, engine.text, markdown_it, pygments, rich, textual, tui.actions,
tui.dialogs, tui.drawing, tui.text.
"""
