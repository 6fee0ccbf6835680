"""Constrains answers to a format with llguidance; compiled on other threads, applied on the compute thread."""
