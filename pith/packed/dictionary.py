"""What graphs of networks often hold, as their protocol buffers spell it: deflate may point into it from the start.

It is part of the format: a change of one byte makes files of version 1 unreadable.
"""

_OPERATORS = (
    "LSTM",
    "GRU",
    "Split",
    "Unsqueeze",
    "Squeeze",
    "Expand",
    "Shape",
    "Slice",
    "Gather",
    "Where",
    "Cast",
    "Erf",
    "Gelu",
    "Sqrt",
    "Pow",
    "Div",
    "Sub",
    "HardSwish",
    "HardSigmoid",
    "Sigmoid",
    "Tanh",
    "Clip",
    "Softmax",
    "LayerNormalization",
    "ReduceMean",
    "MatMulInteger",
    "DynamicQuantizeLinear",
    "ConvInteger",
    "MatMulNBits",
    "Concat",
    "Pad",
    "Transpose",
    "MatMul",
    "BatchNormalization",
    "ConvTranspose",
    "AveragePool",
    "GlobalAveragePool",
    "Mul",
    "QuantizeLinear",
    "DequantizeLinear",
    "Add",
    "MaxPool",
    "Conv",
    "Flatten",
    "Reshape",
    "Gemm",
    "Relu",
)
_NUMBERS = ("to", "keepdims", "epsilon", "axis", "ceil_mode", "count_include_pad", "group", "allowzero")
_LISTS = ("perm", "dilations", "kernel_shape", "strides", "pads")
_TWO = {"dilations": (1, 1), "kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1), "perm": (0, 2, 1, 3)}


def _field(number: int, content: bytes) -> bytes:
    return bytes((number << 3 | 2, len(content))) + content


def _number(name: str) -> bytes:
    return _field(5, _field(1, name.encode()) + b"\x18\x01\xa0\x01\x02")


def _list(name: str) -> bytes:
    numbers = b"".join(bytes((0x40, size)) for size in _TWO[name])
    return _field(5, _field(1, name.encode()) + numbers + b"\xa0\x01\x07")


def _chain() -> bytes:
    """Layers behind one another, as an encoder leaves them: values are called by number."""
    flat = _field(1, b"input") + _field(1, b"6") + _field(2, b"7") + _field(4, b"Reshape") + _number("allowzero")
    relu = _field(1, _field(1, b"8") + _field(2, b"9") + _field(4, b"Relu"))
    gemm = _field(2, b"8") + _field(4, b"Gemm") + _number("transB")
    first = _field(1, _field(1, b"7") + _field(1, b"0") + _field(1, b"1") + gemm)
    again = _field(2, b"10") + _field(4, b"Gemm") + _number("transB")
    second = _field(1, _field(1, b"9") + _field(1, b"2") + _field(1, b"3") + again)
    output = _field(2, b"output") + _field(4, b"Gemm") + _number("transB")
    last = _field(1, _field(1, b"11") + _field(1, b"4") + _field(1, b"5") + output)
    rest = _field(1, _field(1, b"10") + _field(2, b"11") + _field(4, b"Relu"))
    return b"".join((_field(1, flat), first, relu, second, rest, last))


def _port(name: bytes, sizes: tuple[int, ...]) -> bytes:
    batch = _field(1, _field(2, b"batch"))
    shape = batch + b"".join(_field(1, bytes((8, size))) for size in sizes)
    return _field(1, name) + _field(2, _field(1, b"\x08\x01" + _field(2, shape)))


def _ends() -> bytes:
    ports = _field(11, _port(b"input", (3, 32, 32))) + _field(11, _port(b"input", (1, 28, 28)))
    return _field(2, b"model") + ports + _field(12, _port(b"output", (10,))) + _field(8, b"\x0a\x00\x10\x14")


DICTIONARY = b"".join(
    (
        *(_field(4, name.encode()) for name in _OPERATORS),
        *(_number(name) for name in _NUMBERS),
        *(_list(name) for name in _LISTS),
        b"\x08\x0a",
        _chain(),
        _ends(),
    )
)
