"""What a model looks at: how much its answer loses when a part of the sample is covered (Zeiler and Fergus 2014,
arXiv 1311.2901).

It needs the answers alone, so that a file of integers is asked as its baseline is. Not covered: parts that count only
together, and what an answer would gain from.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.findings.asked import HELD_BYTES, Asked, affordable, drawn, taken
from engine.findings.cover import PARTS, Cover, cover, typical
from engine.findings.evidence import Evidence, LeftOut
from engine.findings.form import Form, form_of
from engine.findings.lost import flips, worst
from engine.findings.said import class_name, numbers
from engine.findings.shown import shown
from engine.measure import Answers, Samples
from engine.probabilities import are_probabilities, probabilities
from engine.randomness import stream
from pith.findings.looks import Look, Looks

Array = NDArray[Any]
Map = NDArray[np.float64]

SAMPLES = 6
_FEWEST = 16
_FEWER_PARTS = (PARTS, 36, 25, _FEWEST)
_TYPICAL = 256
DRAWN, COLOUR = 3_000_017, 3_000_029
# Maps whose parts differ by less than this share of the answer are flat.
_FLAT = 1e-5


def looks(evidence: Evidence) -> Looks:
    """
    Raises:
        LeftOut: nothing that a reader could tell parts of, or a model that is too slow to be asked so often.
    """
    samples, dataset, seed = evidence.samples, evidence.ctx.dataset, evidence.ctx.spec.seed
    if samples.origin == "random inputs":
        raise LeftOut("quality was measured on random inputs, in which there is nothing to look at")
    before, after = evidence.answers()
    form = form_of(samples, dataset)
    if form.kind in ("numbers", "codes"):
        raise LeftOut("nobody has said what the numbers mean that go into the model, so they have no parts to cover")
    count, parts = _affordable(evidence)
    models = tuple(Asked(path, evidence.ctx.job.threads) for path in evidence.pair())
    viewer = Viewer(samples, form, models, dataset.classes if dataset is not None else (), parts, seed)
    return viewer.looks(interesting(before, after, samples, count, seed), before)


def _affordable(evidence: Evidence) -> tuple[int, int]:
    """How many samples, of how many parts."""
    runs = affordable((evidence.candidates[evidence.since], evidence.candidates[-1]))
    for least, parts in (*((2, parts) for parts in _FEWER_PARTS), (1, _FEWEST)):
        if runs // (parts + 1) >= least:
            return min(SAMPLES, runs // (parts + 1)), parts
    raise LeftOut("the model computes too much for so many further runs")


def interesting(before: Answers, after: Answers, samples: Samples, count: int, seed: int) -> list[int]:
    """Half of them samples that were lost, as far as there are any, the worst first; the others drawn from the rest."""
    lost = _lost(before, after, samples)
    first = [int(row) for row in lost[: (count + 1) // 2]]
    rest = np.setdiff1d(np.arange(len(samples)), lost)
    others = np.random.default_rng(stream(seed, DRAWN)).permutation(rest)
    return first + [int(row) for row in others[: count - len(first)]]


def _lost(before: Answers, after: Answers, samples: Samples) -> NDArray[np.int64]:
    if before.chosen is not None:
        return flips(before.chosen if samples.split.y is None else np.asarray(samples.split.y), before, after)
    return worst(before, after) if before.costs is not None else np.zeros(0, np.int64)


class Viewer:
    """Two models, asked about covered samples."""

    def __init__(
        self, samples: Samples, form: Form, models: tuple[Asked, ...], names: tuple[str, ...], parts: int, seed: int
    ) -> None:
        self._samples, self._form, self._models = samples, form, models
        self._names, self._parts = names, parts
        some = taken(samples, drawn(samples, _TYPICAL, seed, COLOUR))
        self._fill = typical(form, some[form.place])

    def looks(self, rows: list[int], before: Answers) -> Looks:
        """Samples without parts, such as empty texts, are left out."""
        found = [look for row in rows if (look := self._look(row, before)) is not None]
        alike = [look.similarity for look in found if look.similarity is not None]
        return Looks(looks=tuple(found), similarity=float(np.mean(alike)) if alike else None)

    def _look(self, row: int, before: Answers) -> Look | None:
        x = taken(self._samples, np.array([row]))
        values = x[self._form.place][0]
        parts = cover(self._form, values, min(self._parts, max(_FEWEST, HELD_BYTES // values.nbytes)))
        if parts is None:
            return None
        given = [self._asked(model, x, parts) for model in self._models]
        chosen = None if before.chosen is None else int(before.chosen[row])
        maps = [_map(first, chosen) for first in given]
        return Look(
            sample=row,
            truth=self._truth(row),
            before_says=self._says(given[0][0]),
            after_says=self._says(given[1][0]),
            shown=shown(self._form, values),
            rows=parts.rows,
            columns=parts.columns,
            names=parts.names,
            before=tuple(float(f"{value:.6g}") for value in maps[0]),
            after=tuple(float(f"{value:.6g}") for value in maps[1]),
            similarity=spearman(*maps),
        )

    def _asked(self, model: Asked, x: tuple[Array, ...], parts: Cover) -> Map:
        """The outputs for the sample as it is, and then with each part covered."""
        values = x[self._form.place]
        all_values = np.concatenate([values, parts.covered(values[0], self._fill)])
        repeated = [np.repeat(each, len(all_values), axis=0) for each in x]
        repeated[self._form.place] = all_values
        return model.first(tuple(repeated))

    def _truth(self, row: int) -> str | None:
        y = self._samples.split.y
        if y is None:
            return None
        return class_name(self._names, int(y[row])) if self._samples.classes else numbers(y[row])

    def _says(self, first: Map) -> str:
        return class_name(self._names, int(first.argmax())) if self._samples.classes else numbers(first)


def _map(first: Map, chosen: int | None) -> Map:
    """What each part takes from the chosen class's probability, or from the first number of the output."""
    if chosen is None:
        answer = first.reshape(len(first), -1)[:, 0]
    else:
        answer = probabilities(first, are_probabilities(first))[:, chosen]
    found: Map = answer[0] - answer[1:]
    return np.zeros_like(found) if np.ptp(found) <= _FLAT * max(1.0, abs(float(answer[0]))) else found


def spearman(one: Map, other: Map) -> float | None:
    """The correlation of their ranks; None where one of them is flat."""
    ranks = [_ranks(each) for each in (one, other)]
    if any(np.ptp(each) == 0 for each in ranks):
        return None
    return float(np.clip(np.corrcoef(ranks[0], ranks[1])[0, 1], -1.0, 1.0))


def _ranks(values: Map) -> Map:
    """Equal values share the mean of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    means = np.cumsum(counts) - (counts - 1) / 2
    found: Map = means[places]
    return found
