"""The commands of the laboratory and of the doctor."""
