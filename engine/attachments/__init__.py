"""Files attached to a message: found, read within limits, and put into fences.

May import docx, engine.child, engine.errors, engine.paths, engine.pictures, engine.regular_file, engine.text, openpyxl, pathspec, pptx,
pypdf.
"""
