"""Weights of 2 to 8 bits: the grid of a layer, the integers on it, and how both are stored in bytes."""
