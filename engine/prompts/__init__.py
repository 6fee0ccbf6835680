"""The prompt library: personas (system prompts) and snippets with variables, in TOML files.

May import engine.errors, engine.paths, engine.regular_file, msgspec.
"""
