"""The built-in model: its file, its quants and the built-in answers. `training` makes it and is not part of the wheel.

May import engine.errors, engine.llama, engine.model_ref, engine.paths, msgspec.
"""
