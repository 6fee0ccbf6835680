"""The commands that measure: the laboratory's, and the doctor's."""
