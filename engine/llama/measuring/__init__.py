"""Measurements on the compute thread, beside a conversation."""
