"""Untrusted ONNX files: scanned and checked in a forked child, and written anew before anything else may open them.

What is taken: one graph of standard operators (and those of ``com.microsoft`` that quantized and fused graphs hold),
float32, weights inside or beside it in the same upload. Not covered: classical models (``ai.onnx.ml``), texts,
sequences, sparse tensors, training graphs.
"""

from engine.onnx_model.limits import OnnxLimits
from engine.onnx_model.read import FinishedGraph, read_onnx

__all__ = ["FinishedGraph", "OnnxLimits", "read_onnx"]
