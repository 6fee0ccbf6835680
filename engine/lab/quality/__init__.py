"""What quants and KV types cost in quality, and families of them side by side.

May import engine.lab.
"""
