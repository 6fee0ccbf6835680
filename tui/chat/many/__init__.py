"""Several answers to one message side by side: choosing, watching, keeping one."""
