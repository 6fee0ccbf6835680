"""The prompt and its history.

May import engine.attachments, engine.drafts, engine.prompt_history, engine.text, textual, tui.actions, tui.terminal, tui.text.
"""
