"""Everything a person touches in a terminal. Talks to `engine.session.session` and the engine's read-only queries, nothing deeper."""
