"""What a person says of an upload: an architecture by its options, a schema as a file or as name=value."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import click
from pydantic import BaseModel, ValidationError

from pith.cli.spec import json_object
from pith.dataset import DatasetSchema
from pith.intake import Architecture
from pith.pointers import malformed

T = TypeVar("T", Architecture, DatasetSchema)
B = TypeVar("B", bound=BaseModel)
Command = Callable[..., Any]


def architecture_options(command: Command) -> Command:
    for option in (
        click.option("--seed", type=click.IntRange(min=0), help="Of the weights, when no FILE brings them."),
        click.option("--input-shape", metavar="3,32,32", help="Shape of one sample, where NAME does not fix it."),
        click.option("--argument", "arguments", multiple=True, metavar="KEY=VALUE", help="Such as num_classes=10."),
        click.option("--architecture", metavar="NAME", help="For weights without a graph: timm/vgg11, pith/lenet_5."),
    ):
        command = option(command)
    return command


def schema_option(command: Command) -> Command:
    text = "What FILE does not say itself: a JSON file, or such as label=income. Again for more."
    return click.option("--schema", "words", multiple=True, metavar="FILE|KEY=VALUE", help=text)(command)


def architecture(
    architecture: str | None, arguments: tuple[str, ...], input_shape: str | None, seed: int | None
) -> Architecture | None:
    """
    Raises:
        click.UsageError: what cannot be understood.
        PithError: ``malformed_request``.
    """
    if architecture is None:
        if arguments or input_shape or seed is not None:
            raise click.UsageError("--argument, --input-shape and --seed belong to an --architecture NAME")
        return None
    shape = None if input_shape is None else [_value(size) for size in input_shape.split(",")]
    document = {"name": architecture, "arguments": _pairs("--argument", arguments), "input_shape": shape, "seed": seed}
    kept = {name: value for name, value in document.items() if value is not None}
    return _valid(Architecture, kept, {"name": "architecture"})


def schema(words: tuple[str, ...]) -> DatasetSchema | None:
    """Raises as ``architecture`` does, and PithError ``file_unreadable``."""
    files = [word for word in words if "=" not in word]
    document: dict[str, Any] = {}
    for file in files:
        document |= json_object(file, 'a schema is: {"label": "income"}')
    document |= _pairs("--schema", (word for word in words if "=" in word))
    return _valid(DatasetSchema, document) if words else None


def _pairs(option: str, words: Iterable[str]) -> dict[str, Any]:
    pairs = [word.partition("=") for word in words]
    for key, equals, _ in pairs:
        if not (key and equals):
            raise click.UsageError(f"{option} takes KEY=VALUE, such as num_classes=10, and not {key!r}")
    return {key: _value(text) for key, _, text in pairs}


def _value(text: str) -> Any:
    """As JSON, if it is some: 10, true, [1, 2]; else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _valid(kind: type[T], document: dict[str, Any], options: Mapping[str, str] | None = None) -> T:
    """``options``: fields whose option is called otherwise, which is how a complaint names them."""
    names = options or {}
    try:
        return kind.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as fault:
        sent = {names.get(name, name): value for name, value in document.items()}
        errors = [{**error, "loc": _as_option(error["loc"], names)} for error in fault.errors(include_url=False)]
        raise malformed(errors, sent, kind) from fault


def _as_option(loc: tuple[Any, ...], names: Mapping[str, str]) -> tuple[Any, ...]:
    return (names.get(loc[0], loc[0]), *loc[1:]) if loc else loc


def checked(kind: type[B], **fields: object) -> B:
    """What is to be sent, before it is.

    Raises:
        PithError: ``malformed_request``.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as fault:
        raise malformed(fault.errors(include_url=False, include_context=False), fields, kind) from fault
