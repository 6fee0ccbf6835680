"""One KV cache for many sequences: its cells, the assignment of sequences, states saved in RAM, and the result cache."""
