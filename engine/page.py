"""The report as one self-contained HTML page: no script, no address outside, light and dark, fit for paper, a phone and
a screen reader. Every string is escaped; the figures come from ``pith.faces``."""

import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2

from pith.faces import curves, layers, lost, origin, shown, trade, trust, words
from pith.figures import style
from pith.figures.svg import Drawn
from pith.report import Report

_TEMPLATES = Path(__file__).parent / "templates"


def render(report: Report) -> str:
    """The page."""
    return _environment().get_template("report.html.j2").render(report=report)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(_globals())
    return environment


def _globals() -> dict[str, Any]:
    faces = {face.__name__.rpartition(".")[2]: face for face in (curves, layers, lost, shown, trade, trust, words)}
    return {
        "faces": SimpleNamespace(**faces),
        "words": words,
        "origin": origin,
        "css": Drawn(style.CSS),
        "sheet": Drawn((_TEMPLATES / "report.css").read_text()),
    }
