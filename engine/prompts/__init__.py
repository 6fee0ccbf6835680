"""The prompt library: personas (system prompts) and snippets with variables, in TOML files.

May import engine.errors, engine.paths, engine.written_files, msgspec.
"""
