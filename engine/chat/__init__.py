"""The conversation as a tree, the prompt made from it, and the parsing of answers.

`tree` holds the messages, `outline` lists all branches as rows, `importing` reads conversations from files. `prompt` turns a branch into
token ids: the model's own `template` runs in a metered sandbox, an untrusted one in a child process (`templating`), `assembly` and
`token_cache` tokenize the text, `window` chooses the turns that are left out. `thinking` splits the output into thinking and answer,
`titles` names a session. No native library, no store, no screen.

May import engine.backend, engine.child, engine.clock, engine.errors, engine.messages, engine.pictures, engine.records, engine.regular_file,
engine.text, jinja2, markdown_it, msgspec.
"""
