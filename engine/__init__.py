"""The headless half of xchat: everything except the screen.

Usable as a library and from the command line. It never imports textual, rich, plotext or `tui` (import-linter checks it, and a test in a
fresh process). Inside, only `engine.llama` imports `llama_cpp` and only `engine.store` imports `aiosqlite`.
"""

__version__ = "0.1.0"
