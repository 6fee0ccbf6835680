"""The only room that touches llama.cpp: model, context, the one compute thread, decoding, KV reuse, tokens to text, native log and aborts.

May import `engine.backend`, `engine.errors`, `engine.metrics`, `engine.models`, `engine.presets` and `engine.paths`; nothing of the screen,
the store or the conversation. Importing `engine.llama.backend` or `engine.llama.redirect` does not load the native library; the compute
thread does.
"""
