"""Answers in a form: what a request's constraint allows, by llguidance. Compiled beside the compute thread, applied on it."""
