"""Questions about what is stored, as functions on a connection; `Reader.read` runs them."""
