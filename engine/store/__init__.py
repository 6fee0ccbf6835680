"""What is remembered: the one SQLite file, how it is opened, written, read, exported and cared for.

`store.Store` writes, `queries.Reader` reads; both live on the event loop and do their work on a thread of their own. Exports and the
care of the file are plain functions with a connection of their own, for a worker thread or the command line. The views described in
`VIEWS.md` are the interface for other programs.

May import `engine.errors`, `engine.records`, `engine.metrics`, `engine.presets`, aiosqlite, psutil and the standard library; never a
native engine library.
"""
