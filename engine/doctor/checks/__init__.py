"""The probes of the checks, by what they look at; each takes a Machine and returns a Verdict, or raises NotReadable."""
