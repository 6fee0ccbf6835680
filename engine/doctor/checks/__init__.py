"""The checks, by subject; each takes a Machine and returns a Verdict, or raises NotReadable."""
