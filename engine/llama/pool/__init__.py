"""One KV cache for many sequences: its cells, who gets which sequence, and states set aside in RAM."""
