"""What the sections of a report are made from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.context import Context
from engine.measure import Answers, Candidate, Samples
from engine.model import Model
from pith.findings.usage import Usage
from pith.report import OutputReport, Section


class LeftOut(Exception):
    """This job cannot have the section; the text is the reason, as the report gives it."""


@dataclass(frozen=True)
class Evidence:
    """One finished job. ``candidates`` are the baseline, the model after each step, and so the result, as ONNX files;
    ``model`` is the result itself. ``since`` is the first candidate whose outputs mean what the result's do, and
    ``given`` has the answers of that one and all after it. ``missing`` is what has no place in a section, by section.
    """

    ctx: Context
    model: Model
    candidates: Sequence[Candidate]
    since: int
    samples: Samples
    given: Sequence[Answers]
    outputs: tuple[OutputReport, ...]
    usage: tuple[Usage, ...] = ()
    missing: dict[Section, list[str]] = field(default_factory=dict)

    @property
    def short(self) -> bool:
        """Whether no model is to be run for the report alone."""
        return self.ctx.spec.report == "short"

    def pair(self) -> tuple[Path, Path]:
        """The ONNX files before and after, whose outputs mean the same.

        Raises:
            LeftOut: the last step gave the model its outputs.
        """
        if self.since == len(self.candidates) - 1:
            raise LeftOut("the last step gave the model its outputs, so there is nothing to hold them against")
        return self.candidates[self.since].onnx, self.candidates[-1].onnx

    def answers(self) -> tuple[Answers, Answers]:
        """What those two said about the samples.

        Raises:
            LeftOut: as ``pair``.
        """
        self.pair()
        return self.given[0], self.given[-1]

    def lacks(self, section: Section, reason: str) -> None:
        """A part of a section cannot be had; the rest of it stays."""
        self.missing.setdefault(section, []).append(reason)
