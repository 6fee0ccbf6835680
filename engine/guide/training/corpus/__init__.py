"""The texts that the built-in model learns from, written by a program: topics, wordings and slot values in, dialogues out.

Development only, and pure: nothing here imports more than the standard library and its neighbours, and the same seed gives the
same dialogues. Facts about keys and commands come in as data (`taught.json`, made from the program's registry).
"""
