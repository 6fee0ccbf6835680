"""The help of the flamegraph viewer; names in braces are actions, whose keys are filled in."""

HELP = """\
## Captures

A flamegraph shows where samples were taken. Each row is one level of calls, a block is a function, and its width is its share.

Order of time ({flame_order}) follows the samples of each thread; samples of a waiting thread are left out, unless the capture's mode
includes them. In a comparison ({flame_compare}) red grew and blue shrank, per generated token. Tab moves between callers and callees.

py-spy samples threads that run Python. llama.cpp's compute threads don't, so their CPU time is shown only under {flame_threads}.
"""
