"""The transcript: messages as lines, drawn when they are visible."""
