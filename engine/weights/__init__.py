"""Weights that arrive without their graph: read as data, unwrapped, and put into a named architecture."""

from engine.weights.fit import fit
from engine.weights.limits import WeightLimits
from engine.weights.read import Weights, read_tensors

__all__ = ["WeightLimits", "Weights", "fit", "read_tensors"]
