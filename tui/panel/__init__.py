"""The instrument panel."""
