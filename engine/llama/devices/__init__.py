"""The devices that llama.cpp computes on, and the number of layers on each."""
