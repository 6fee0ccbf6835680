"""Files of prompts: reading them, answering many at once, and writing the results so that nothing is lost or done twice.

May import engine.atomic_write, engine.backend, engine.chat, engine.clock, engine.errors, engine.messages, engine.numbers, engine.presets,
engine.text, engine.timings, msgspec.
"""
