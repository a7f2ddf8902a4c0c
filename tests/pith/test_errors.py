"""The table of errors: every sentence formats, and everybody who raises gives exactly the values it needs."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from pith.errors import ERRORS, FieldProblem, PithError, Problem

ROOT = Path(__file__).parents[2]
PACKAGES = ("pith", "store", "app", "engine", "worker")


def fields(code: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(ERRORS[code].sentence) if name is not None}


@pytest.mark.parametrize("code", ERRORS)
def test_every_row_makes_a_sentence_and_a_problem(code: str) -> None:
    values = {name: f"<{name}>" for name in fields(code)}
    error = PithError(code, **values)
    problem = error.problem
    assert all(value in problem.detail for value in values.values())
    assert not re.search(r"\{[a-z_]*[!:}]", problem.detail)
    assert re.fullmatch(r"[a-z][a-z0-9_]*", code)
    assert problem.detail == problem.detail.strip() and problem.title[0].isupper()
    assert (problem.code, problem.status, problem.type) == (code, ERRORS[code].status, f"urn:pith:error:{code}")
    assert 400 <= problem.status < 600 and (problem.status == 422) == (code == "malformed_request")


@pytest.mark.parametrize("code", ERRORS)
def test_a_value_that_is_missing_is_noticed(code: str) -> None:
    if fields(code):
        with pytest.raises(KeyError):
            PithError(code)


@pytest.mark.parametrize("code", ERRORS)
def test_a_problem_is_the_same_error_after_the_trip(code: str) -> None:
    wrong = (FieldProblem(pointer="/a", code="b", detail="c"),)
    error = PithError(code, errors=wrong, **dict.fromkeys(fields(code), 1))
    again = PithError.of(Problem.model_validate_json(error.problem.model_dump_json()))
    assert (again.problem, again.code, str(again)) == (error.problem, code, str(error))


def test_a_code_that_is_not_in_the_table_is_no_error_of_ours() -> None:
    with pytest.raises(KeyError):
        PithError("nonsense")


def raised() -> Iterator[tuple[str, str, set[str]]]:
    """Every ``PithError("code", …)`` of the source: where, the code, the values; not those with ** or a variable."""
    for file in (file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "PithError":
                code = node.args[0] if node.args else None
                if isinstance(code, ast.Constant) and all(word.arg for word in node.keywords):
                    values = {str(word.arg) for word in node.keywords} - {"errors"}
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", str(code.value), values


def test_everybody_who_raises_gives_exactly_what_the_sentence_needs() -> None:
    wrong = [
        f"{where}: {code} takes {sorted(fields(code)) if code in ERRORS else 'nothing, it is not in the table'}"
        for where, code, values in raised()
        if code not in ERRORS or values != fields(code)
    ]
    assert not wrong


def test_every_row_is_used() -> None:
    source = "".join(file.read_text() for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    assert [code for code in ERRORS if source.count(f'"{code}"') < 2] == []
