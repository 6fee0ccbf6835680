"""The number of compute threads: the governor of `auto`, on facts from `engine.host`.

May import engine.errors, engine.host, engine.presets.
"""
