"""Good files, changed at random: each is cleaned or refused with a code of its own, and nothing runs."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.pt2 import clean
from engine.pt2.load import load
from pith.errors import PithError
from tests.engine import exported, tampering

SAMPLES = ("linear", "shared", "nested", "sizes")
_NESTED: list[Any] = []
for _ in range(200):
    _NESTED = [_NESTED]


def _values(canary: Path) -> list[Any]:
    call = f"__import__('os').system('touch {canary}')"
    return [
        *(None, True, False, 0, 1, -1, 7, 2**31, 2**63, -(2**70), 0.5, 1e308, "NaN", "", "x", "s77", "\x00", "\ud800"),
        *("x" * 5000, call, f"'{call}'", f'"); {call} #', f"Symbol({call})", "torch.ops.aten.relu.default"),
        *([], {}, [[]], [None], {"": {}}, {"as_int": 1}, {"as_name": "x"}, {"as_expr": {"expr_str": call}}, _NESTED),
    ]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a JSON value, with each of its keys."""
    stack = [value]
    while stack:
        here = stack.pop()
        if isinstance(here, (dict, list)):
            keys = here if isinstance(here, dict) else range(len(here))
            yield from ((here, key) for key in keys)
            stack.extend(here.values() if isinstance(here, dict) else here)


def _mutate_json(members: tampering.Members, dice: random.Random, canary: Path) -> tampering.Members:
    name = dice.choice([tampering.PROGRAM, tampering.PROGRAM, tampering.WEIGHTS, tampering.CONSTANTS])
    value = json.loads(members[name])
    for _ in range(dice.choice([1, 1, 2, 5])):
        places = list(_places(value))
        here, key = dice.choice(places)
        there, other = dice.choice(places)
        match dice.randrange(5):
            case 0:
                del here[key]
            case 1 if isinstance(here, dict):
                here[str(dice.choice(_values(canary)))[:200]] = here.pop(key)
            case 2:
                here[key] = json.loads(json.dumps(there[other]))
            case _:
                here[key] = dice.choice(_values(canary))
        if not value or not list(_places(value)):
            break
    return {**members, name: json.dumps(value).encode()}


def _mutate_members(members: tampering.Members, dice: random.Random) -> tampering.Members:
    one, other = dice.sample(sorted(members), 2)
    match dice.randrange(4):
        case 0:
            return {**members, one: members[other], other: members[one]}
        case 1:
            return {name: data for name, data in members.items() if name != one}
        case 2:
            return {**members, one: members[one][: dice.randrange(len(members[one]) + 1)]}
    return {**members, f"{one}{dice.choice('09x/.')}": members[one]}


def _mutate_bytes(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice([1, 1, 3, 20])):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    if dice.random() < 0.2:
        at, length = dice.randrange(len(changed)), dice.randrange(200)
        del changed[at : at + length]
    return bytes(changed)


def _mutate(path: Path, dice: random.Random, canary: Path) -> None:
    good = exported.saved(dice.choice(SAMPLES))
    kind = dice.random()
    if kind < 0.3:
        path.write_bytes(_mutate_bytes(good, dice))
    elif kind < 0.4:
        tampering.write_members(path, _mutate_members(tampering.read_members(good), dice))
    else:
        tampering.write_members(path, _mutate_json(tampering.read_members(good), dice, canary))


@pytest.mark.parametrize("batch", range(10))
def test_a_changed_file_is_cleaned_or_refused(batch: int, tmp_path: Path) -> None:
    path, target, canary = tmp_path / "changed.pt2", tmp_path / "clean.pt2", tmp_path / "canary"
    for case in range(batch * 40, batch * 40 + 40):
        dice = random.Random(case)
        _mutate(path, dice, canary)
        try:
            clean(path, target)
        except PithError as error:
            assert error.code.startswith("model_"), (case, error)
            assert not target.exists(), case
        else:
            target.unlink()
            _load(path, tmp_path, case)
        assert not canary.exists(), case


def _load(path: Path, scratch: Path, case: int) -> None:
    """What was cleaned may still be no program; torch's word for that is translated too."""
    try:
        load(path, scratch).module()
    except PithError as error:
        assert error.code == "model_malformed", (case, error)
        assert error.problem.detail.isprintable() and "Traceback" not in error.problem.detail, (case, error)
