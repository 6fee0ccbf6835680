"""Speculative decoding: guessed tokens that one decode call verifies."""
