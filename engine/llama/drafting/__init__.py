"""Guesses of tokens to come, which one decode call checks together."""
