"""Measurements on the compute thread during a conversation."""
