"""The conversation as a tree, the prompt made from it, and the answer taken apart.

`tree` holds the messages, `outline` shows all their branches as rows, `importing` reads conversations from files. `prompt` turns a
branch into token ids: through the model's own `template`, run in a metered `sandbox`, then `assembly` and `token_cache` make tokens of the
text, and `window` decides what has to stay out. `thinking` splits what the model says into thinking and answer, `titles` names a session.
May import jinja2, the contracts of the engine and `engine.clock`; never a native library, the store or a screen.
"""
