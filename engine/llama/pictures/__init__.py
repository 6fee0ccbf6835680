"""Pictures in prompts, by llama.cpp's libmtmd."""
