"""Programs with something in them that torch would resolve, evaluate or believe."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.pt2 import clean
from engine.pt2.bounded_json import parse
from engine.pt2.checks import Wrong
from engine.pt2.expression import expression, range_key
from engine.pt2.guards import no_guards
from engine.pt2.operators import SIZE_OPERATORS, target
from engine.pt2.treespec import call_treespec, treespec
from pith.errors import PithError
from tests.engine import exported, tampering

Edit = Callable[[Any], object]


def _clean(folder: Path, name: str, edit: Edit, sample: str = "linear") -> dict[str, Any]:
    """The program or config of that member after an edit and a cleaning."""
    members = tampering.edited(tampering.read_members(exported.saved(sample)), name, edit)
    tampering.write_members(folder / "edited.pt2", members)
    clean(folder / "edited.pt2", folder / "clean.pt2")
    value: dict[str, Any] = json.loads(tampering.read_members((folder / "clean.pt2").read_bytes())[name])
    return value


def _refusal(folder: Path, name: str, edit: Edit, sample: str = "linear") -> PithError:
    with pytest.raises(PithError) as caught:
        _clean(folder, name, edit, sample)
    assert not (folder / "clean.pt2").exists()
    return caught.value


def _graph(program: Any) -> Any:
    return program["graph_module"]["graph"]


# --- operators


_USED = """
conv2d.default add.Tensor relu_.default
__and__.Tensor bernoulli_.float _to_copy.default _assert_scalar.default lstm.input
"""
_FOREIGN = """
torch.hub.os.system torch.load torch.ops.load_library _operator.getitem _operator.methodcaller _operator.attrgetter
math.sqrt.__class__ math os.system builtins.eval #namespace:op torch.ops torch torch.ops.aten.relu.default.__call__
_operator.call
"""
_NOT_TAKEN = """
aten.from_file.default aten.set_.source_Storage aten.resize_.default aten._reshape_alias.default aten._print.default
aten.add.out aten.record_stream.default aten.rename.default aten.no_such.default aten.relu.no_such aten.relu.name
aten.__class__.mro aten.warn.default aten.save.default mylib.op.default higher_order.cond prim.device
higher_order.wrap_with_set_grad_enabled aten.to_sparse.default aten.mkldnn_linear.default aten.relu
aten.sum.dim_DimnameList
"""


@pytest.mark.parametrize("name", [*(f"torch.ops.aten.{name}" for name in _USED.split()), *sorted(SIZE_OPERATORS)])
def test_operators_that_models_use(name: str) -> None:
    assert target(name) == name


@pytest.mark.parametrize("name", [*_FOREIGN.split(), "", "torch.ops.aten.relu .default"])
def test_targets_that_could_run_code(name: str) -> None:
    with pytest.raises(PithError) as caught:
        target(name)
    assert caught.value.code == "model_unsafe" or name.startswith("torch.ops.")


@pytest.mark.parametrize("name", [f"torch.ops.{name}" for name in _NOT_TAKEN.split()])
def test_operators_that_are_not_taken_are_named(name: str) -> None:
    with pytest.raises(PithError) as caught:
        target(name)
    assert caught.value.code == "model_unsupported"
    assert name in caught.value.problem.detail


def test_a_forbidden_operator_in_a_file(tmp_path: Path) -> None:
    def edit(program: Any) -> None:
        _graph(program)["nodes"][0]["target"] = "torch.ops.aten.from_file.default"

    assert _refusal(tmp_path, tampering.PROGRAM, edit).code == "model_unsupported"


# --- expressions


_SIZES = """
Symbol('s77', positive=True, integer=True)
s0 + 2*u1
Mul(Integer(2), Symbol('s0'))
-s1 // 2 % 3
true
Pow(Symbol('s0', integer=True), Integer(-1))
Add(Integer(-1), FloorDiv(Symbol('s0'), Integer(2)))
Equality(Mod(Symbol('s0'), Integer(2)), Integer(0))
Float('0.5', precision=53)
Max(3, s0) >= 1
"""
_MORE_THAN_SIZES = """
__import__('os')
os
s0.__class__
(lambda: 1)()
[s0][0]
f'{s0}'
's0'
Symbol('x')
x
s0 if s0 else s1
Symbol('__import__')
Symbol('s0', evil=True)
Symbol('s0', integer=[1][0])
Symbol('s١')
Symbol
Integer('1')
eval('1')
Float('1e999', precision=53)
Float('0.5', precision=10**9)
Lambda(s0, s0)
s0 := 1
Function('os')(1)
sympify('1')
Pow(Integer(9), Integer(999))
Pow(s0, Pow(2, 2))
9**9
9 << 99
LShift(1, 10**9)
1j
1e999
Max(*s0)
Max(**s0)
s0 < s1 < s2
s0;s1
"""
_TOO_LONG = (
    "*".join(["Pow(s0, 2)"] * 9),
    "9" * 40,
    "-" * 5000 + "1",
    "(" * 300 + "1" + ")" * 300,
    "s0+" * 4000 + "1",
    "Max(" * 400 + "1" + ")" * 400,
    "-" * 900 + "1",
)


@pytest.mark.parametrize("text", _SIZES.strip().splitlines())
def test_sizes_that_torch_writes(text: str) -> None:
    assert expression(text).replace(" ", "") == text.replace(" ", "")


def test_an_expression_is_written_anew() -> None:
    assert expression(" s0 #\n") == "s0"


@pytest.mark.parametrize("text", [*_MORE_THAN_SIZES.splitlines(), *_TOO_LONG])
def test_expressions_that_are_more_than_sizes(text: str) -> None:
    with pytest.raises(PithError) as caught:
        expression(text)
    assert caught.value.code == "model_unsafe"
    assert len(caught.value.problem.detail) < 400


@pytest.mark.parametrize("key", ["u0 + 1", "u99999999999", "zuf", "s0\n", "s" * 600, "__import__('os')", 7])
def test_ranges_of_what_is_no_size(key: Any) -> None:
    with pytest.raises(Wrong):
        range_key(key)


@pytest.mark.parametrize("place", ["sizes", "strides"])
def test_an_expression_in_a_file(place: str, tmp_path: Path) -> None:
    def edit(program: Any) -> None:
        value = next(iter(_graph(program)["tensor_values"].values()))
        value[place][0] = {"as_expr": {"expr_str": "open('x', 'w')", "hint": None}}

    assert _refusal(tmp_path, tampering.PROGRAM, edit).code == "model_unsafe"


# --- guards and trees


_GUARDS = """
L['x'].size()[0] > 3
(L['flat_args'][0].size()[1] % 2) == 0
not (L['x'].stride()[1] != 6)
math.isnan(L['scale'])
L['x'].size()[0] != L['y'].size()[1] and True
L['mode'] == 'same'
"""
_MORE_THAN_GUARDS = """
__import__('os').system('x')
L.__class__
open('x')
eval('1')
(lambda: 1)()
[x for x in L]
x := 1
L['x'].data.backward()
torch.load('x')
f'{L}'
print(1)
torch.hub.os
"""


@pytest.mark.parametrize("guard", _GUARDS.strip().splitlines())
def test_guards_that_torch_writes_are_dropped(guard: str) -> None:
    assert no_guards([guard]) == []


@pytest.mark.parametrize("guard", [*_MORE_THAN_GUARDS.splitlines(), "1\nimport os", "-" * 5000, None])
def test_guards_that_are_more_than_conditions(guard: str) -> None:
    with pytest.raises(PithError) as caught:
        no_guards([guard])
    assert caught.value.code == "model_unsafe"


def _spec(kind: Any, context: Any, children: int = 0) -> str:
    leaf = {"type": None, "context": None, "children_spec": []}
    return json.dumps([1, {"type": kind, "context": context, "children_spec": [copy.copy(leaf)] * children}])


def test_trees_of_plain_containers() -> None:
    for spec in (_spec(None, None), _spec("builtins.dict", '["a", 1]', 2), _spec("collections.OrderedDict", "[]")):
        assert json.loads(treespec(spec)) == json.loads(spec)


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        (_spec("collections.defaultdict", {"default_factory_module": "os"}), "model_unsupported"),
        (_spec("collections.namedtuple", '"x"'), "model_unsupported"),
        (_spec("os.system", "null"), "model_unsupported"),
    ],
)
def test_trees_of_other_containers(spec: str, code: str) -> None:
    with pytest.raises(PithError) as caught:
        treespec(spec)
    assert caught.value.code == code


_WRONG_TREES = (
    _spec("builtins.dict", '[{"__enum__": true}]', 1),
    _spec("builtins.dict", "[]", 1),
    _spec("builtins.dict", "[true]", 1),
    _spec("builtins.tuple", "[1]"),
    _spec(["builtins.dict"], "null"),
    _spec(None, "x"),
    "[1, " + '{"type": "builtins.list", "context": "null", "children_spec": [' * 40 + "]}" * 40 + "]",
)


@pytest.mark.parametrize("spec", [*_WRONG_TREES, "[2, {}]", "{}", "[1, 5]", "not json", "[" * 9000, 5, None])
def test_trees_that_are_wrong(spec: Any) -> None:
    with pytest.raises(Wrong):
        treespec(spec)


def test_keys_of_keyword_arguments_become_source() -> None:
    plain = {"type": "builtins.tuple", "context": "null", "children_spec": []}
    leaf = {"type": None, "context": None, "children_spec": []}

    def spec(key: str) -> str:
        keywords = {"type": "builtins.dict", "context": json.dumps([key]), "children_spec": [leaf]}
        return json.dumps([1, {**plain, "children_spec": [plain, keywords]}])

    assert call_treespec(spec("scale"))
    with pytest.raises(PithError, match="model_unsafe"):
        call_treespec(spec("a=print()"))
    with pytest.raises(Wrong):
        call_treespec(_spec("builtins.tuple", "null"))


# --- payloads


def _weight(**changes: Any) -> Edit:
    def edit(config: Any) -> None:
        config["config"]["0.weight"]["tensor_meta"].update(changes)

    return edit


def _ints(*values: int) -> list[dict[str, int]]:
    return [{"as_int": value} for value in values]


@pytest.mark.parametrize(
    "changes",
    [
        {"sizes": _ints(10**6, 10**6)},
        {"sizes": _ints(8, 5)},
        {"sizes": _ints(2**62, 2**62), "strides": _ints(0, 0)},
        {"sizes": _ints(10**12), "strides": _ints(0)},
        {"sizes": _ints(2, 4), "strides": _ints(1, 1)},
        {"sizes": _ints(8, 4), "strides": _ints(4, 2)},
        {"sizes": _ints(8, 4), "strides": _ints(2**62, 1)},
        {"sizes": _ints(8, 4), "strides": _ints(-4, 1)},
        {"sizes": _ints(-8, 4)},
        {"sizes": _ints(8)},
        {"sizes": _ints(0, 2**62), "strides": _ints(1, 1)},
        {"sizes": _ints(*[1] * 65), "strides": _ints(*[1] * 65)},
        {"storage_offset": {"as_int": 1}},
        {"storage_offset": {"as_int": -1}},
        {"storage_offset": {"as_int": 2**63}},
        {"sizes": [{"as_expr": {"expr_str": "s0", "hint": None}}, {"as_int": 4}]},
        {"dtype": 8},
        {"dtype": 5},
        {"layout": 1},
        {"device": {"type": "meta", "index": None}},
        {"device": "cpu"},
        {"requires_grad": 1},
    ],
)
def test_weights_that_are_not_what_they_say(changes: dict[str, Any], tmp_path: Path) -> None:
    assert _refusal(tmp_path, tampering.WEIGHTS, _weight(**changes)).code == "model_malformed"


@pytest.mark.parametrize("dtype", [0, 9, 28, 29, 99, -1, "7", None, True])
def test_types_that_are_not_taken(dtype: Any, tmp_path: Path) -> None:
    assert _refusal(tmp_path, tampering.WEIGHTS, _weight(dtype=dtype)).code == "model_unsupported"


def test_a_view_inside_its_bytes_is_fine(tmp_path: Path) -> None:
    config = _clean(tmp_path, tampering.WEIGHTS, _weight(sizes=_ints(4, 2), strides=_ints(1, 8)))
    assert config["config"]["0.weight"]["tensor_meta"]["strides"] == _ints(1, 8)


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"use_pickle": True}, "model_unsafe"),
        ({"use_pickle": 1}, "model_unsafe"),
        ({"use_pickle": None}, "model_unsafe"),
        ({"path_name": "opaque_obj_0"}, "model_unsafe"),
        ({"path_name": "custom_obj_0"}, "model_unsafe"),
        ({"path_name": "../weights/weight_0"}, "model_malformed"),
        ({"path_name": "weight_999"}, "model_malformed"),
        ({"path_name": None}, "model_malformed"),
        ({"tensor_meta": None}, "model_malformed"),
        ({"is_param": "yes"}, "model_malformed"),
    ],
)
def test_entries_that_are_wrong(entry: dict[str, Any], code: str, tmp_path: Path) -> None:
    error = _refusal(tmp_path, tampering.WEIGHTS, lambda config: config["config"]["0.weight"].update(entry))
    assert error.code == code


def test_one_payload_read_as_two_types(tmp_path: Path) -> None:
    def edit(config: Any) -> None:
        config["config"]["0.bias"] = copy.deepcopy(config["config"]["0.weight"])
        config["config"]["0.bias"]["tensor_meta"]["dtype"] = 4
        config["config"]["0.bias"]["tensor_meta"]["requires_grad"] = False

    assert "another type" in _refusal(tmp_path, tampering.WEIGHTS, edit).problem.detail


def test_integers_do_not_want_gradients(tmp_path: Path) -> None:
    assert "gradients" in _refusal(tmp_path, tampering.WEIGHTS, _weight(dtype=4)).problem.detail


def test_truth_values_are_zero_or_one(tmp_path: Path) -> None:
    members = tampering.read_members(exported.saved("shared"))
    name = "data/constants/tensor_0"
    assert members[name] == b"\0"
    tampering.write_members(tmp_path / "edited.pt2", {**members, name: b"\2"})
    with pytest.raises(PithError, match="truth values"):
        clean(tmp_path / "edited.pt2", tmp_path / "clean.pt2")


# --- the rest of the schema


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda p: p["schema_version"].update(major=7), "model_unsupported"),
        (lambda p: p["schema_version"].update(major="8"), "model_malformed"),
        (lambda p: p.pop("schema_version"), "model_malformed"),
        (lambda p: p.update(verifiers=["os"]), "model_malformed"),
        (lambda p: p.update(graph_module=[]), "model_malformed"),
        (lambda p: p.update(torch_version="'+x+'"), "model_unsafe"),
        (lambda p: _graph(p).update(custom_obj_values={"x": {}}), "model_unsupported"),
        (lambda p: _graph(p)["nodes"][0].update(name="x; import os"), "model_unsafe"),
        (lambda p: _graph(p)["nodes"][0].update(name="class"), "model_unsafe"),
        (lambda p: _graph(p)["nodes"][0].update(metadata={"nn_module_stack": "a\nb"}), "model_malformed"),
        (lambda p: _graph(p)["nodes"][0].update(metadata={"nn_module_stack": 'k,x"y,c'}), "model_unsafe"),
        (
            lambda p: _graph(p)["nodes"][0].update(metadata={"nn_module_stack": "k,x,c" + ";k,x,c" * 200}),
            "model_malformed",
        ),
        (lambda p: _graph(p)["inputs"].append({"as_custom_obj": {"name": "x", "class_fqn": "y"}}), "model_unsupported"),
        (lambda p: _graph(p)["inputs"].append({"as_tensor": {"name": "x"}, "as_int": 1}), "model_malformed"),
        (lambda p: _graph(p)["tensor_values"].update({"x=1": {}}), "model_unsafe"),
    ],
)
def test_fields_that_are_wrong(edit: Edit, code: str, tmp_path: Path) -> None:
    assert _refusal(tmp_path, tampering.PROGRAM, edit).code == code


_WRONG_ARGUMENTS = (
    {"as_operator": "torch.hub.os.system"},
    {"as_graph": {}},
    {"as_string_to_argument": {}},
    {"as_int_lists": []},
    {"as_custom_obj": {}},
    {"as_anything": 1},
    {"as_int": 2**63},
    {"as_int": True},
    {"as_ints": [[]]},
    {"as_float": "1.0"},
    {"as_string": "a\x1b[0m"},
    {"as_tensor": "x"},
    {"as_device": {"type": "os"}},
    {"as_device": {"type": []}},
)


@pytest.mark.parametrize("argument", [*_WRONG_ARGUMENTS, {}, None, []])
def test_arguments_that_are_wrong(argument: Any, tmp_path: Path) -> None:
    def edit(program: Any) -> None:
        _graph(program)["nodes"][0]["inputs"][0]["arg"] = argument

    assert _refusal(tmp_path, tampering.PROGRAM, edit).code in ("model_malformed", "model_unsupported")


def test_what_torch_could_resolve_in_metadata_is_dropped(tmp_path: Path) -> None:
    extra = {"source_fn_stack": "x,torch.hub.os.system", "custom": "{}", "from_node": "[]", "stack_trace": "File"}

    def edit(program: Any) -> None:
        _graph(program)["nodes"][0]["metadata"].update(extra)
        program["graph_module"]["metadata"]["custom"] = "{}"
        program["surprise"] = 1

    program = _clean(tmp_path, tampering.PROGRAM, edit)
    assert set(_graph(program)["nodes"][0]["metadata"]) == {"nn_module_stack", "torch_fn"}
    assert program["graph_module"]["metadata"] == {} and "surprise" not in program


def test_the_place_of_a_mistake_is_told(tmp_path: Path) -> None:
    def edit(program: Any) -> None:
        _graph(program)["nodes"][1]["inputs"] = 5

    assert (
        "graph_module.graph.nodes.1.inputs: 5 is no list" in _refusal(tmp_path, tampering.PROGRAM, edit).problem.detail
    )


_DEEP = (b"[" * 1_000_000, b'{"a":' * 100_000, b'"' + b"[" * 100, b'["\\"' + b"[" * 100, b"[" * 65 + b"]" * 65)


@pytest.mark.parametrize("data", [*_DEEP, b"\xff\xfe", b"", b"{", b"9" * 5000])
def test_json_that_is_too_deep_or_broken(data: bytes) -> None:
    with pytest.raises(Wrong):
        parse(data, 64)


def test_brackets_in_texts_are_no_nesting() -> None:
    assert parse(json.dumps(["[" * 500 + '\\"' + "{" * 500]).encode(), 4) == ["[" * 500 + '\\"' + "{" * 500]
