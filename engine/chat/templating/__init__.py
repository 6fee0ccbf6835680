"""Renders chat templates, which come with model files and may be hostile, in a metered sandbox in a child process.

`budget` meters a rendering, `filters` has the allowed filters, `sandbox` compiles and renders, `process` does so in a child.

May import engine.child, engine.clock, engine.errors, jinja2.
"""
