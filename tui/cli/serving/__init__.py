"""Commands that serve the engine to other programs."""
