"""The only room that calls llama.cpp: model, context, KV cache, scheduler, sampling and the one compute thread.

Importing `engine.llama.backend` or `engine.llama.redirect` does not load the native library; the compute thread does. No screen;
of the store only the result cache, of the conversation only the making of prompts.

May import engine.atomic_write, engine.backend, engine.chat, engine.child, engine.clock, engine.config, engine.disturbance, engine.errors,
engine.host, engine.kv_state, engine.logprobs, engine.messages, engine.model_ref, engine.models, engine.numbers, engine.paths,
engine.pictures, engine.presets, engine.regular_file, engine.store, engine.text, engine.threads, engine.timings, llama_cpp, llguidance,
msgspec, numpy.
"""
