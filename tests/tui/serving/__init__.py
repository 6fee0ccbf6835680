"""The screens of the server."""
