"""Everything a person touches in a terminal: one folder per feature, with its widgets, screens and styles.

Talks to an engine through `engine.session`, and reads what the engine's other rooms publish: events, records, figures, files' facts.
Only `tui.cli` reaches `engine.llama`, the store's writer and the preset folder (import-linter checks it).
"""
