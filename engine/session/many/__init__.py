"""More than one answer at a time: conversations that go on in the background, and several answers to one message."""
