"""The devices that the library computes on, and how many layers of a model go to them."""
