"""Several answers at a time: conversations in the background, and several answers to one message."""
