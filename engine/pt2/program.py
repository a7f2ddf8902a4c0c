"""The program: every field of torch's export schema, version 8, that a model needs, and what may stand in it.

Fields that are not here do not reach the clean file; kinds that are not here are refused. Devices become the CPU:
a model that was exported on a GPU names it all over its graph. ``guards_code`` and custom metadata are dropped.
"""

from typing import Any

from engine.pt2.checks import (
    Check,
    Wrong,
    boolean,
    constant,
    dict_of,
    integer,
    list_of,
    natural,
    number,
    one_of,
    optional,
    record,
    show,
    union,
)
from engine.pt2.expression import expression, range_key
from engine.pt2.guards import no_guards
from engine.pt2.limits import Limits
from engine.pt2.names import argument_name, dotted, identifier, module_name, node_metadata, text, word
from engine.pt2.operators import target
from engine.pt2.treespec import call_treespec, treespec
from pith.errors import PithError

SCHEMA_MAJOR = 8
STRIDED = 7
# ScalarType numbers of the schema: integers, floats, complex numbers and booleans that every backend has.
DTYPES = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13})
FLOATS = frozenset({6, 7, 8, 10, 11, 13})
_DEVICES = frozenset({"cpu", "cuda", "mps", "xpu", "hpu"})
_MAX_RANK = 64


def dtype(value: Any) -> int:
    if type(value) is int and value in DTYPES:
        return value
    raise PithError(
        "model_unsupported",
        found=f"tensors of the type number {show(value)}",
        way_out="use integers, float16, bfloat16, float32, float64, complex or bool",
    )


def device(value: Any) -> dict[str, Any]:
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _DEVICES:
        raise Wrong(f"{show(value)} is no device")
    return {"type": "cpu", "index": None}


def _refused(found: str, way_out: str) -> Check:
    def check(value: Any) -> Any:
        raise PithError("model_unsupported", found=found, way_out=way_out)

    return check


_no_custom = _refused("custom objects", "keep tensors and numbers only in the model")
_no_graph = _refused("control flow or another graph inside the graph", "export it without cond, while_loop or map")
_no_operator = _refused("an operator as an argument", "write the model with PyTorch's own tensor operators")
_no_dict = _refused("a dict as an operator's argument", "write the model with PyTorch's own tensor operators")
_no_nested = _refused("nested lists as an operator's argument", "write the model with PyTorch's own tensor operators")
_no_token = _refused("effect tokens", "export it without operators that have side effects")

_tensor_name = record(name=identifier)
_hint = union("hint", as_int=integer, as_bool=boolean, as_float=number)
_expression = record(expr_str=expression, hint=optional(_hint))
_sym_int = union("size", as_expr=_expression, as_int=integer)
_sym_float = union("number", as_expr=_expression, as_float=number)
_sym_bool = union("truth value", as_expr=_expression, as_bool=boolean)
_int_argument = union("size", as_name=identifier, as_int=integer)
_float_argument = union("number", as_name=identifier, as_float=number)
_bool_argument = union("truth value", as_name=identifier, as_bool=boolean)
_optional_tensor = union("tensor", as_tensor=_tensor_name, as_none=boolean)

argument = union(
    "argument",
    as_none=boolean,
    as_tensor=_tensor_name,
    as_tensors=list_of(_tensor_name),
    as_int=integer,
    as_ints=list_of(integer),
    as_float=number,
    as_floats=list_of(number),
    as_string=text,
    as_strings=list_of(text),
    as_sym_int=_int_argument,
    as_sym_ints=list_of(_int_argument),
    as_scalar_type=dtype,
    as_memory_format=one_of(1, 2, 3, 4),
    as_layout=one_of(STRIDED),
    as_device=device,
    as_bool=boolean,
    as_bools=list_of(boolean),
    as_sym_bool=_bool_argument,
    as_sym_bools=list_of(_bool_argument),
    as_sym_float=_float_argument,
    as_sym_floats=list_of(_float_argument),
    as_optional_tensor=_optional_tensor,
    as_optional_tensors=list_of(_optional_tensor),
    as_complex=record(real=number, imag=number),
    as_graph=_no_graph,
    as_custom_obj=_no_custom,
    as_operator=_no_operator,
    as_string_to_argument=_no_dict,
    as_nested_tensors=_no_nested,
    as_int_lists=_no_nested,
    as_float_lists=_no_nested,
)

_input = union(
    "input",
    as_none=boolean,
    as_tensor=_tensor_name,
    as_int=integer,
    as_float=number,
    as_bool=boolean,
    as_string=word,
    as_sym_int=_int_argument,
    as_custom_obj=_no_custom,
)
_output = union(
    "output",
    as_none=boolean,
    as_tensor=_tensor_name,
    as_int=integer,
    as_float=number,
    as_bool=boolean,
    as_sym_int=_int_argument,
    as_sym_float=_float_argument,
    as_sym_bool=_bool_argument,
)

tensor_meta = record(
    dtype=dtype,
    sizes=list_of(_sym_int, _MAX_RANK),
    requires_grad=boolean,
    device=device,
    strides=list_of(_sym_int, _MAX_RANK),
    storage_offset=_sym_int,
    layout=one_of(STRIDED),
)

_node = record(
    target=target,
    inputs=list_of(record(name=argument_name, arg=argument, kind=optional(one_of(1, 2))), 64),
    outputs=list_of(argument, 4096),
    metadata=node_metadata,
    is_hop_single_tensor_return=constant(None),
    name=optional(identifier),
)


def _empty(value: Any) -> dict[str, Any]:
    return {} if not value else _no_custom(value)


def _graph(limits: Limits) -> Check:
    return record(
        inputs=list_of(_input),
        outputs=list_of(_output),
        nodes=list_of(_node, limits.nodes),
        tensor_values=dict_of(identifier, tensor_meta),
        sym_int_values=dict_of(identifier, _sym_int),
        sym_bool_values=dict_of(identifier, _sym_bool),
        is_single_tensor_return=optional(boolean, False),
        custom_obj_values=_empty,
        sym_float_values=optional(dict_of(identifier, _sym_float), {}),
    )


_constant_value = union("constant", as_none=boolean, as_int=integer, as_float=number, as_string=word, as_bool=boolean)
_input_spec = union(
    "input",
    user_input=record(arg=argument),
    parameter=record(arg=_tensor_name, parameter_name=dotted),
    buffer=record(arg=_tensor_name, buffer_name=dotted, persistent=boolean),
    tensor_constant=record(arg=_tensor_name, tensor_constant_name=dotted),
    constant_input=record(name=identifier, value=_constant_value),
    custom_obj=_no_custom,
    token=_no_token,
)
_output_spec = union(
    "output",
    user_output=record(arg=argument),
    loss_output=record(arg=_tensor_name),
    buffer_mutation=record(arg=_tensor_name, buffer_name=dotted),
    parameter_mutation=record(arg=_tensor_name, parameter_name=dotted),
    gradient_to_parameter=record(arg=_tensor_name, parameter_name=dotted),
    gradient_to_user_input=record(arg=_tensor_name, user_input_name=identifier),
    user_input_mutation=record(arg=_tensor_name, user_input_name=identifier),
    token=_no_token,
)
_call_signature = record(
    inputs=list_of(argument),
    outputs=list_of(argument),
    in_spec=call_treespec,
    out_spec=treespec,
    forward_arg_names=optional(list_of(identifier)),
)


def _version(value: Any) -> dict[str, int]:
    version = record(major=natural, minor=natural)(value)
    if version["major"] != SCHEMA_MAJOR:
        raise PithError(
            "model_unsupported",
            found=f"version {version['major']} of the export format",
            way_out="export it again with PyTorch 2.11 or later",
        )
    return {"major": SCHEMA_MAJOR, "minor": version["minor"]}


def program(limits: Limits) -> Check:
    """The check of a whole ``models/model.json``."""
    return record(
        graph_module=record(
            graph=_graph(limits),
            signature=record(input_specs=list_of(_input_spec), output_specs=list_of(_output_spec)),
            module_call_graph=list_of(record(fqn=module_name, signature=optional(_call_signature))),
            metadata=constant({}),
            treespec_namedtuple_fields=constant({}),
        ),
        opset_version=lambda value: {"aten": natural(value.get("aten") if isinstance(value, dict) else None)},
        range_constraints=dict_of(range_key, record(min_val=optional(integer), max_val=optional(integer))),
        schema_version=_version,
        verifiers=list_of(one_of("TRAINING", "ATEN"), 4),
        torch_version=word,
        guards_code=optional(no_guards, []),
    )
