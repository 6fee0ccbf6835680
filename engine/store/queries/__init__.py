"""Queries, as functions on a connection; `Reader.read` runs them."""
