"""llama.cpp in processes of their own: loading a file for trial, quantizing. A crash there is an answer, not the end of the program."""
