"""Saved sessions: lists, branches, performance, comparison, export."""
