"""The built-in model: a tiny guide that ships with xchat, and how it is made.

`builtin` is what the program uses. All other modules are for development: they write the corpus, train, export and evaluate, and
may import PyTorch and the tokenizers package from the `train` dependency group.
"""
