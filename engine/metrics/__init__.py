"""The figures: timings of a turn, percentiles, host samples, roofline, alerts. Each is defined here once.

No native library of the engine, no store.

May import engine.backend, engine.clock, engine.disturbance, engine.errors, engine.events, engine.host, engine.model_ref, engine.paths,
engine.presets, engine.records, engine.timings, h11, msgspec, prometheus_client.
"""
