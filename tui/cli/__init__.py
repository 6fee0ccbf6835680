"""The `xchat` command and its subcommands. Textual is imported only to open the screen.

May import engine.atomic_write, engine.attachments, engine.backend, engine.batch, engine.chat, engine.child, engine.clock, engine.config,
engine.doctor, engine.errors, engine.events, engine.guide, engine.host, engine.lab, engine.last_used, engine.llama, engine.messages,
engine.metrics, engine.model_ref, engine.models, engine.numbers, engine.paths, engine.presets, engine.profiling, engine.records,
engine.remote, engine.serving, engine.session, engine.store, engine.text, httpx2, msgspec, textual, tui.actions, tui.choices, tui.drawing,
tui.flame, tui.models, tui.options, tui.run, tui.terminal, tui.text.
"""
