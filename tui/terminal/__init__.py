"""The terminal: driver, frame difference, pastes, round trip, link, clipboard."""
