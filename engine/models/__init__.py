"""Model files: what is in them, what is wrong with them, where they lie, what memory they take; pull and quantize.

May import `engine.errors`, `engine.paths`, `engine.presets` and the standard library beside msgspec and psutil; huggingface_hub only in
`pull`, when it is used. Never a native library: what needs one runs in a child process.
"""
