"""Exported programs that hold code, lie about their tensors, or cost more than anybody has."""

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.engine import exploits, exported, tampering
from tests.engine.tampering import CONSTANTS, PROGRAM, WEIGHTS, Members, edited
from tests.hostile.case import Canary, Hostile, into

PROGRAMS: list[Hostile] = []
case = into(PROGRAMS, "model")
UNSAFE, MALFORMED, UNSUPPORTED, LARGE = "model_unsafe", "model_malformed", "model_unsupported", "model_too_large"
COSTLY = (LARGE, MALFORMED, "out_of_memory", "export_failed", "engine_timeout")
Edit = Callable[[Any], object]


def members(sample: str = "convolutional") -> Members:
    return tampering.read_members(exported.saved(sample))


def written(path: Path, found: Members, **options: Any) -> None:
    tampering.write_members(path, found, **options)


def graph_of(program: dict[str, Any]) -> dict[str, Any]:
    graph: dict[str, Any] = program["graph_module"]["graph"]
    return graph


def with_program(path: Path, edit: Edit, sample: str = "convolutional") -> None:
    written(path, edited(members(sample), PROGRAM, edit))


def with_graph(path: Path, edit: Edit, sample: str = "convolutional") -> None:
    with_program(path, lambda program: edit(graph_of(program)), sample)


def with_weight(path: Path, edit: Edit) -> None:
    written(path, edited(members(), WEIGHTS, lambda config: edit(next(iter(config["config"].values())))))


EXPLOITS: dict[str, tuple[exploits.Exploit, str]] = {
    "sample inputs": (exploits.sample_inputs, UNSAFE),
    "a pickled weight": (exploits.pickled_weight, UNSAFE),
    "a pickled constant": (exploits.pickled_constant, UNSAFE),
    "an opaque object": (exploits.opaque_object, UNSAFE),
    "weights of an older torch": (exploits.old_weights, UNSAFE),
    "constants of an older torch": (exploits.old_constants, UNSAFE),
    "a size": (exploits.size_expression, UNSAFE),
    "a computed size": (exploits.size_value, UNSAFE),
    "a guard": (exploits.guards, UNSAFE),
    "a text that goes into a guard": (exploits.quoted_text, UNSAFE),
    "the name of an input": (exploits.input_name, UNSAFE),
    "the names of arguments": (exploits.argument_names, UNSAFE),
    "the name of a parameter": (exploits.parameter_name, UNSAFE),
    "a default factory": (exploits.default_factory, UNSUPPORTED),
    "an enumeration as a key": (exploits.enumeration_key, MALFORMED),
    "the layout of torch 2.7": (exploits.old_layout, UNSAFE),
}


def _exploit(exploit: exploits.Exploit) -> Callable[[Path, Canary], None]:
    def build(path: Path, canary: Canary) -> None:
        sample = "text input" if exploit is exploits.quoted_text else "convolutional"
        top = "" if exploit is exploits.old_layout else "top/"
        written(path, exploit(members(sample), canary.path), top=top)

    return build


for _where, (_made, _code) in EXPLOITS.items():
    case(f"pt2: code in {_where}", "model.pt2", _code)(_exploit(_made))


@case("pt2: a custom object", "model.pt2", UNSAFE, words="custom_obj")
def custom_object(path: Path, canary: Canary) -> None:
    entry = {"path_name": "custom_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    found = edited(members(), CONSTANTS, lambda config: config["config"].update(extra=entry))
    written(path, {**found, "data/constants/custom_obj_0": b"\x80\x02."})


@case("pt2: a compiled library", "model.pt2", UNSAFE, words="aotinductor")
def compiled(path: Path, canary: Canary) -> None:
    written(path, {**members(), "data/aotinductor/model/model.so": b"\x7fELF" + bytes(60)})


@case("pt2: a Python file", "model.pt2", UNSAFE, words="evil.py")
def python_file(path: Path, canary: Canary) -> None:
    written(path, {**members(), "extra/evil.py": canary.source.encode()})


def _calling(target: str) -> Callable[[Path, Canary], None]:
    def build(path: Path, canary: Canary) -> None:
        with_graph(path, lambda graph: graph["nodes"][0].update(target=target))

    return build


for _target, _code in {
    "torch.ops.aten.from_file.default": UNSUPPORTED,
    "torch.ops.aten.set_.source_Storage": UNSUPPORTED,
    "torch.ops.aten.resize_.default": UNSUPPORTED,
    "torch.ops.evil.run.default": UNSUPPORTED,
    "torch.ops.higher_order.cond": UNSUPPORTED,
    "torch.ops.aten._foobar.default": UNSUPPORTED,
    "torch._C._cuda_init": UNSAFE,
    "torch.os.system": UNSAFE,
    "math.__loader__.load_module": UNSAFE,
    "_operator.__class__": UNSAFE,
    "#torch.load": UNSAFE,
    "torch.ops.aten.relu.__class__": UNSUPPORTED,
}.items():
    case(f"pt2: a call of {_target}", "model.pt2", _code, UNSAFE)(_calling(_target))


@case("pt2: a weight larger than its bytes", "model.pt2", MALFORMED, words="conv.weight")
def large_weight(path: Path, canary: Canary) -> None:
    with_weight(path, lambda entry: entry["tensor_meta"].update(sizes=[{"as_int": 1 << 20}] * 4))


@case("pt2: a million-million numbers from four bytes", "model.pt2", MALFORMED, words="overlap")
def expanded(path: Path, canary: Canary) -> None:
    meta = {"sizes": [{"as_int": 1_000_000}] * 2, "strides": [{"as_int": 0}] * 2}
    with_weight(path, lambda entry: entry["tensor_meta"].update(meta))


@case("pt2: a weight before its bytes", "model.pt2", MALFORMED)
def negative_offset(path: Path, canary: Canary) -> None:
    with_weight(path, lambda entry: entry["tensor_meta"].update(storage_offset={"as_int": -8}))


@case("pt2: a weight under a path", "model.pt2", MALFORMED, UNSAFE)
def weight_path(path: Path, canary: Canary) -> None:
    with_weight(path, lambda entry: entry.update(path_name="../../../../etc/passwd"))


@case("pt2: a weight of another type", "model.pt2", MALFORMED)
def other_type(path: Path, canary: Canary) -> None:
    with_weight(path, lambda entry: entry["tensor_meta"].update(dtype=8))


@case("pt2: an unknown type", "model.pt2", UNSUPPORTED, words="4096")
def unknown_type(path: Path, canary: Canary) -> None:
    with_weight(path, lambda entry: entry["tensor_meta"].update(dtype=4096))


@case("pt2: not a number among the weights", "model.pt2", UNSUPPORTED, words="finite")
def not_finite(path: Path, canary: Canary) -> None:
    found = members()
    written(path, {**found, "data/weights/weight_0": b"\x00\x00\xc0\x7f" * (len(found["data/weights/weight_0"]) // 4)})


@case("pt2: a graph that goes in a circle", "model.pt2", MALFORMED)
def circle(path: Path, canary: Canary) -> None:
    def edit(graph: dict[str, Any]) -> None:
        last = graph["nodes"][-1]["outputs"][0]["as_tensor"]["name"]
        graph["nodes"][0]["inputs"][0]["arg"] = {"as_tensor": {"name": last}}

    with_graph(path, edit)


@case("pt2: a node that is its own input", "model.pt2", MALFORMED)
def own_input(path: Path, canary: Canary) -> None:
    def edit(graph: dict[str, Any]) -> None:
        node = graph["nodes"][0]
        node["inputs"][0]["arg"] = {"as_tensor": dict(node["outputs"][0]["as_tensor"])}

    with_graph(path, edit)


@case("pt2: three hundred thousand nodes", "model.pt2", LARGE, MALFORMED)
def many_nodes(path: Path, canary: Canary) -> None:
    node = json.dumps({"target": "torch.ops.aten.relu.default", "inputs": [], "outputs": [], "metadata": {}})
    found = edited(members(), PROGRAM, lambda program: graph_of(program).update(nodes=["@"]))
    written(path, {**found, PROGRAM: found[PROGRAM].replace(b'"@"', ",".join([node] * 300_000).encode())})


@case("pt2: JSON nested ten thousand deep", "model.pt2", MALFORMED, words="deep")
def nested(path: Path, canary: Canary) -> None:
    written(path, {**members(), PROGRAM: b'{"a":' * 10_000 + b"1" + b"}" * 10_000})


@case("pt2: a number of ten thousand digits", "model.pt2", MALFORMED)
def long_number(path: Path, canary: Canary) -> None:
    written(path, {**members(), PROGRAM: b'{"a": ' + b"9" * 10_000 + b"}"})


@case("pt2: sixty doublings", "model.pt2", *COSTLY)
def doublings(path: Path, canary: Canary) -> None:
    """Each node joins the one before with itself: 2^60 rows of the input."""
    _grown(path, 60)


@case("pt2: a thousand million numbers out of sixteen", "model.pt2", *COSTLY)
def fewer_doublings(path: Path, canary: Canary) -> None:
    _grown(path, 31)


def _grown(path: Path, count: int) -> None:
    def edit(graph: dict[str, Any]) -> None:
        last = graph["outputs"][0]["as_tensor"]["name"]
        for index in range(count):
            name = f"grown_{index}"
            values = {"as_tensors": [{"name": last}] * 2}
            graph["nodes"].append(
                {
                    "target": "torch.ops.aten.cat.default",
                    "inputs": [
                        {"name": "tensors", "arg": values, "kind": 1},
                        {"name": "dim", "arg": {"as_int": 1}, "kind": 1},
                    ],
                    "outputs": [{"as_tensor": {"name": name}}],
                    "metadata": {},
                    "is_hop_single_tensor_return": None,
                }
            )
            graph["tensor_values"][name] = graph["tensor_values"][last]
            last = name
        graph["outputs"][0]["as_tensor"]["name"] = last

    def edit_program(program: dict[str, Any]) -> None:
        edit(graph_of(program))
        specs = program["graph_module"]["signature"]["output_specs"]
        specs[0]["user_output"]["arg"]["as_tensor"]["name"] = f"grown_{count - 1}"

    with_program(path, edit_program, "linear")


@case("pt2: a symbol that is no size", "model.pt2", UNSAFE, MALFORMED)
def large_power(path: Path, canary: Canary) -> None:
    def edit(graph: dict[str, Any]) -> None:
        value = {"as_expr": {"expr_str": "Pow(Pow(10, 1000000000), 1000000000)", "hint": None}}
        graph["tensor_values"]["image"]["sizes"][0] = value

    with_graph(path, edit)


@case("pt2: an import in a stack of modules", "model.pt2", UNSAFE, MALFORMED)
def module_stack(path: Path, canary: Canary) -> None:
    def edit(graph: dict[str, Any]) -> None:
        for node in graph["nodes"]:
            node["metadata"]["nn_module_stack"] = f"L['x'],{canary.expression},a.B"

    with_graph(path, edit)


@case("pt2: code as the name of a node", "model.pt2", UNSAFE, words="name")
def node_name(path: Path, canary: Canary) -> None:
    with_graph(path, lambda graph: graph["nodes"][0].update(name=f"x = {canary.expression}"))


@case("pt2: a name that reads from right to left", "model.pt2", UNSAFE, words="name")
def right_to_left(path: Path, canary: Canary) -> None:
    written(path, tampering.renamed(members(), PROGRAM, "image", "\u202eegami"))


@case("pt2: a second program", "model.pt2", UNSUPPORTED, UNSAFE)
def second_program(path: Path, canary: Canary) -> None:
    found = members()
    written(path, {**found, "models/other.json": found[PROGRAM]})


@case("pt2: compressed members", "model.pt2", UNSAFE, words="compressed")
def deflated(path: Path, canary: Canary) -> None:
    written(path, members(), method=zipfile.ZIP_DEFLATED)


@case("pt2: half a file", "model.pt2", "model_truncated")
def half(path: Path, canary: Canary) -> None:
    data = exported.saved("convolutional")
    path.write_bytes(data[: len(data) // 2])


@case("pt2: one member twice", "model.pt2", UNSAFE, words="two members")
def twice(path: Path, canary: Canary) -> None:
    written(path, members())
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("top/" + PROGRAM, b"{}")


@case("pt2: two headers that disagree", "model.pt2", UNSAFE, words="disagree")
def disagreeing(path: Path, canary: Canary) -> None:
    written(path, members())
    data = path.read_bytes()
    path.write_bytes(data.replace(b"top/models/model.json", b"top/models/nodel.json", 1))


@case(
    "pt2: bytes before the archive",
    "model.pt2",
    "model_not_an_archive",
    "weights_unreadable",
    "model_unsupported",
    "model_format_unknown",
)
def prefixed(path: Path, canary: Canary) -> None:
    path.write_bytes(b"#!/bin/sh\necho hello\n" + exported.saved("convolutional"))


@case("pt2: a comment behind the archive", "model.pt2", UNSAFE, "model_truncated")
def commented(path: Path, canary: Canary) -> None:
    buffer = io.BytesIO(exported.saved("convolutional"))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"hello"
    path.write_bytes(buffer.getvalue())


@case("pt2: an empty program", "model.pt2", MALFORMED)
def empty_program(path: Path, canary: Canary) -> None:
    written(path, {**members(), PROGRAM: json.dumps({}).encode()})
