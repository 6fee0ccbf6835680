"""Chat templates, which come with model files and may be hostile: a metered sandbox, and the child process that it runs in.

`budget` meters a rendering, `filters` has what a template may call, `sandbox` compiles and renders, `process` does so in a child.

May import engine.child, engine.clock, engine.errors, jinja2.
"""
