"""Answer formats enforced with llguidance: compiled on other threads, applied on the compute thread."""
