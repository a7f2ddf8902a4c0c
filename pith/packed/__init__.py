"""The packed file, ``model.pith``: one ONNX file, its weights entropy-coded, and how to read it back, bit for bit.

``container`` says what stands where in the file, ``tensors`` how one tensor is kept, ``contexts`` and ``mixing`` are
the model of probability that writer and reader share. Needs ``pith[unpack]``: numpy and constriction; nothing else in
the client imports this package. Not covered: writing, which is ``engine.encode``.
"""
