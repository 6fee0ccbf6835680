"""A real server, with a tiny model that does not end its answers by itself."""

from tests.engine.serving.conftest import server

__all__ = ["server"]
