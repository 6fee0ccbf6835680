"""The tables and views, and the steps that made them."""
