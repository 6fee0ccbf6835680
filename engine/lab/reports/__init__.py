"""Reports of the laboratory's runs: verdict, figures, charts, method, and how to repeat the run.

May import engine.lab, engine.store, engine.text.
"""
