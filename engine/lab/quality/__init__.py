"""Quality of quants and KV types, and comparisons of a family's quants.

May import engine.lab.
"""
