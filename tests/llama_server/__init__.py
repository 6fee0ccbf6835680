"""llama.cpp's own server tests, run against `xchat serve`: `just llama-server-tests`."""
