"""Pictures sent with messages: decoded safely, stored once each in a folder, and named in the text of a message.

Pillow is imported in the child process that reads pictures, numpy where pixels are needed.

May import engine.atomic_write, engine.child, engine.errors, engine.paths, engine.text, numpy, PIL.
"""
