"""One KV cache for many sequences: its cells, the assignment of sequences, and states saved in RAM."""
