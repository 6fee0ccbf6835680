"""Work of llama.cpp in child processes, where a crash is harmless: trying files, quantizing."""
