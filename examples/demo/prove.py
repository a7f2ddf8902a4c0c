"""Runs the compact model with ONNX Runtime and numpy alone: ``python prove.py model.onnx dataset.npz``."""

import sys

import numpy as np
import onnxruntime


def main(model: str, dataset: str) -> None:
    data = np.load(dataset)
    session = onnxruntime.InferenceSession(model)
    (scores,) = session.run(None, {"input": data["x_test"]})
    accuracy = float((scores.argmax(axis=1) == data["y_test"]).mean())
    assert "torch" not in sys.modules and "engine" not in sys.modules and "pith" not in sys.modules
    print(f"{accuracy:.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
