"""The numbers: the clock, the timings of a turn, percentiles, host sampling, roofline, alerts. Every definition stands here once.

May import `engine.errors`, psutil and the standard library; never a native engine library and never the store.
"""
