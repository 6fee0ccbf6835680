"""The terminal interface: one folder per feature, with its widgets, screens and styles.

Controls an engine through `engine.session`, and reads what the engine's other packages publish: events, records, figures, model facts.
Only `tui.cli` reaches `engine.llama`, the store's writer and the preset folder (import-linter checks it).
"""
