"""Presets: named settings of the engine, what each change costs, and the thread governor.

May import `engine.errors`, `engine.paths`, `engine.atomic` and the standard library beside msgspec, psutil and tomli_w; never a native
library.
"""
