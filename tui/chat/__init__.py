"""The chat screen: conversation, prompt, status line and footer, and the controllers that run its actions.

May import engine.attachments, engine.backend, engine.clock, engine.config, engine.doctor, engine.drafts, engine.errors, engine.events,
engine.host, engine.lab, engine.last_used, engine.messages, engine.metrics, engine.model_ref, engine.models, engine.numbers, engine.paths,
engine.presets, engine.profiling, engine.prompt_history, engine.prompts, engine.records, engine.regular_file, engine.serving,
engine.session, engine.store, engine.text, msgspec, rich, textual, tui.actions, tui.choices, tui.dialogs, tui.drawing, tui.flame, tui.lab,
tui.library, tui.models, tui.options, tui.panel, tui.prompt, tui.serving, tui.terminal, tui.text, tui.theming, tui.transcript.
"""
