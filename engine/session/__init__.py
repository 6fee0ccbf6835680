"""One conversation with an engine: the session and what it is made of."""
