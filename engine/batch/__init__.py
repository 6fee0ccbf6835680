"""Files of prompts: reads them, answers them in parallel, and writes the results so that no line is lost or answered twice.

May import engine.atomic_write, engine.backend, engine.chat, engine.clock, engine.errors, engine.messages, engine.numbers, engine.presets,
engine.regular_file, engine.text, engine.timings, msgspec.
"""
