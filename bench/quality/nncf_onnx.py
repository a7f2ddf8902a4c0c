"""NNCF's post-training quantization of an ONNX file, run by an interpreter that has NNCF: it is no dependency of ours.

``python nncf_onnx.py float.onnx samples.npz out.onnx default|transformer``
"""

import sys

import nncf
import numpy as np
import onnx


def main(source: str, samples: str, target: str, kind: str) -> None:
    with np.load(samples) as arrays:
        given = {name: arrays[name] for name in arrays.files}
    rows = [
        {name: array[row : row + 1] for name, array in given.items()} for row in range(len(next(iter(given.values()))))
    ]
    options = {"model_type": nncf.ModelType.TRANSFORMER} if kind == "transformer" else {}
    onnx.save(nncf.quantize(onnx.load(source), nncf.Dataset(rows), subset_size=len(rows), **options), target)


if __name__ == "__main__":
    main(*sys.argv[1:])
