"""Captures and the flamegraph."""
