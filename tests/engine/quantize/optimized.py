"""What ONNX Runtime makes of a file."""

from pathlib import Path

import onnx
import onnxruntime


def optimized(path: Path, folder: Path) -> list[str]:
    """The kinds of the nodes that are really run."""
    target = folder / "optimized.onnx"
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(target).graph.node]
