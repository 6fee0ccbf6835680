"""Pictures as parts of a prompt, by llama.cpp's libmtmd."""
