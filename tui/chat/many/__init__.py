"""Several answers to one message, side by side: choosing them, watching them, keeping one."""
