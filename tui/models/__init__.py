"""Choosing, fetching and quantizing models; presets."""
