"""Presets: named settings of the engine, what each change costs, and the thread governor.

May import `engine.errors` and the standard library; never a native library.
"""
