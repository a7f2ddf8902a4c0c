"""Whole jobs with a dataset of each kind: what their reports say of where quality was lost, of trust and of looks."""

import copy
import io
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import engine.reload
import engine.run
from engine.findings import asked, gather
from engine.findings.evidence import Evidence
from engine.findings.looks import looks
from engine.findings.lost import lost
from engine.findings.trust import trust
from engine.jobdir import JobDir
from engine.measure import Samples, answers, samples_for
from engine.run import open_job, run
from pith.findings.looks import Looks
from pith.findings.lost import Lost
from pith.findings.trust import Trust
from pith.report import Report
from tests.engine.data.uploads import COLOURS, PITCHES, check, json_lines, picture, sound, zipped
from tests.engine.tiny import DATASET_ID, Mlp, Regression, Tokens, TwoHeads, job_folder

PRUNED: list[dict[str, Any]] = [{"kind": "prune.magnitude", "sparsity": 0.9}]


class Flat(nn.Module):
    """One layer over all numbers of a sample, scores of two classes."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(numbers, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class Words(nn.Module):
    """The mean of the words that the mask lets through, scores of two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(32, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        seen = attention_mask.unsqueeze(-1).float()
        out: Tensor = self.head((self.table(input_ids) * seen).sum(1) / seen.sum(1))
        return out


def exported(net: nn.Module, *examples: Tensor) -> bytes:
    buffer = io.BytesIO()
    sizes = tuple({0: torch.export.Dim("batch")} for _ in examples)
    torch.export.save(torch.export.export(net.eval(), examples, dynamic_shapes=sizes), buffer)
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def these_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other sections have tests of their own."""
    monkeypatch.setattr(gather, "MADE_BY", {"lost": lost, "trust": trust, "looks": looks})


def staged(root: Path, upload: bytes, net: nn.Module, *examples: Tensor, schema: Any = None) -> JobDir:
    """A job that takes most weights from this network, with the dataset that the check of an upload leaves."""
    folder = job_folder(root / "job", PRUNED, data=None, outputs=["onnx"])
    check(root / "check", upload, schema)
    for name in ("dataset.arrow", "dataset.json"):
        folder.input(name).write_bytes(JobDir(root / "check").part(name).read_bytes())
    folder.model.write_bytes(exported(net, *examples))
    job = folder.read()
    spec = job.spec.model_copy(update={"dataset": DATASET_ID})
    folder.spec.write_text(job.model_copy(update={"spec": spec}).model_dump_json())
    return folder


def report_of(*given: Any, **options: Any) -> Report:
    return run(staged(*given, **options).root, engine.reload.main)


def evidence_of(folder: JobDir) -> Evidence:
    """What ``engine.run`` would gather from, with nothing timed and nothing written."""
    folder.scratch.mkdir(parents=True)
    ctx = open_job(folder, folder.read())
    candidates, model = engine.run._apply_all(ctx)
    samples, since = samples_for(model, ctx.dataset), engine.run._compared_from(ctx, candidates)
    given = [answers(candidate.onnx, samples, 1) for candidate in candidates[since:]]
    ctx.events.close()
    return Evidence(ctx, model, candidates, since, samples, given, ())


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Of a network that took most of its weights away, on labelled pictures."""
    return evidence_of(job_folder(tmp_path_factory.mktemp("job"), PRUNED, net=Mlp, outputs=["onnx"]))


def asking(evidence: Evidence, **spec: Any) -> Evidence:
    """The same for a job that asks for something else."""
    ctx = copy.copy(evidence.ctx)
    ctx.spec = ctx.spec.model_copy(update=spec)
    return replace(evidence, ctx=ctx)


def measured_on(evidence: Evidence, samples: Samples) -> Evidence:
    given = [answers(candidate.onnx, samples, 1) for candidate in evidence.candidates]
    return replace(evidence, samples=samples, given=given)


class Sections(NamedTuple):
    lost: Lost | None
    trust: Trust | None
    looks: Looks | None
    left_out: dict[str, str]


def sections(evidence: Evidence) -> Sections:
    found = gather.gather(replace(evidence, missing={}))
    return Sections(**{"lost": None, "trust": None, "looks": None, **found})


def names(report: Report | Sections) -> list[str]:
    assert report.trust is not None
    return list(dict.fromkeys(each.name for each in report.trust.disturbances))


def kinds(report: Report | Sections) -> set[str]:
    """What samples are shown as."""
    assert report.lost is not None and report.looks is not None
    shown = [*(flip.shown for flip in report.lost.flipped), *(look.shown for look in report.looks.looks)]
    return {each.kind for each in shown if each is not None}


def test_pictures(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    near = {"red": (130, 120, 120), "blue": (120, 120, 130)}
    files = {
        f"{name}/{index}.png": picture(tuple(int(each + random.integers(-6, 7)) for each in near[name]))
        for name in COLOURS
        for index in range(30)
    }
    report = report_of(tmp_path, zipped(files), Flat(144), torch.randn(2, 3, 6, 8))
    assert report.lost is not None and {row.name for row in report.lost.classes} <= {"blue", "red"}
    assert kinds(report) == {"image"} and names(report)[-1] == "adversarial" and len(names(report)) == 5
    assert report.looks is not None and {(look.rows, look.columns) for look in report.looks.looks} == {(6, 8)}
    assert report.trust is not None and report.trust.calibration is not None
    assert set(report.left_out) & {"lost", "trust", "looks"} == set()


def test_sounds(tmp_path: Path) -> None:
    how = {"kind": "audio", "sample_rate": 2000, "seconds": 0.2, "features": "mel", "mels": 8, "window": 64, "hop": 32}
    report = report_of(tmp_path, tones(), Flat(104), torch.randn(2, 8, 13), schema={"preprocessing": how})
    assert kinds(report) == {"image"} and names(report) == ["noise", "silence", "adversarial"]
    assert report.looks is not None and {(look.rows, look.columns) for look in report.looks.looks} == {(8, 8)}


def test_waveforms(tmp_path: Path) -> None:
    how = {"kind": "audio", "sample_rate": 2000, "seconds": 0.2, "features": "waveform"}
    found = sections(
        evidence_of(staged(tmp_path, tones(), Flat(400), torch.randn(2, 400), schema={"preprocessing": how}))
    )
    assert kinds(found) == {"audio"} and names(found) == ["noise", "silence", "adversarial"]
    assert found.looks is not None and {(look.rows, look.columns) for look in found.looks.looks} == {(1, 32)}


def tones() -> bytes:
    return zipped(
        {f"{name}/{index}.wav": sound(pitch + index) for name, pitch in PITCHES.items() for index in range(12)}
    )


def test_texts(tmp_path: Path) -> None:
    rows = [
        {"text": f"the {word} film {'really ' * (index % 3)}", "label": word}
        for word in ("good", "bad")
        for index in range(15)
    ]
    how = {"kind": "text", "tokenizer": "words", "length": 6, "vocabulary": 32}
    ids = torch.ones(2, 6, dtype=torch.int64)
    report = report_of(tmp_path, json_lines(rows), Words(), ids, ids, schema={"preprocessing": how})
    assert kinds(report) == {"text"} and names(report) == ["missing words"]
    assert report.looks is not None and report.looks.looks[0].names[:1] == ("the",)
    assert report.looks.looks[0].shown is not None and "film" in report.looks.looks[0].shown.text


def test_tables(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lines = ["age,town,label"]
    for age, town in zip(random.integers(20, 80, 60), random.integers(0, 2, 60), strict=True):
        lines.append(f"{age},{('Bath', 'York')[town]},{'old' if age > 45 + 10 * town else 'young'}")
    report = report_of(tmp_path, "\n".join(lines).encode(), Flat(4), torch.randn(2, 4), schema={"label": "label"})
    assert kinds(report) == {"table"} and names(report) == ["noise", "missing values", "adversarial"]
    assert report.looks is not None and report.looks.looks[0].names == ("age", "town")
    values = dict(report.looks.looks[0].shown.values)
    assert 20 <= values["age"] < 80 and values["town"] in ("Bath", "York"), "years, not standard deviations"


def test_regression(tmp_path: Path) -> None:
    job = job_folder(tmp_path, PRUNED, net=Regression, schema={"task": "tabular-regression"})
    given = evidence_of(job)
    found = sections(given)
    assert found.lost is not None and len(found.lost.worse) == 12 and found.lost.classes == ()
    worse = [row.after - row.before for row in found.lost.worse]
    assert worse == sorted(worse, reverse=True)
    assert found.trust is not None and found.trust.calibration is None and found.trust.metric == "r2"
    assert found.looks is not None and found.looks.looks[0].sample == found.lost.worse[0].sample
    unlabelled = replace(given.samples, split=replace(given.samples.split, y=None))
    found = sections(measured_on(given, unlabelled))
    assert found.lost is None and found.trust is None and "no labels" in found.left_out["lost"]
    assert found.looks is not None and found.looks.looks[0].truth is None, "there is something to look at all the same"


def test_integers_that_nobody_explained_are_counted_and_left_alone(tmp_path: Path) -> None:
    given = evidence_of(job_folder(tmp_path, PRUNED, net=Tokens))
    found = sections(given)
    assert found.lost is not None and {flip.shown.kind for flip in found.lost.flipped} == {"numbers"}
    assert found.trust is not None and found.trust.calibration is not None and found.trust.disturbances == ()
    assert "what the integers mean" in found.left_out["trust"] and "no parts to cover" in found.left_out["looks"]
    unlabelled = replace(given.samples, split=replace(given.samples.split, y=None))
    found = sections(measured_on(given, unlabelled))
    assert found.trust is None and "what the integers mean" in found.left_out["trust"], "nothing at all can be said"


def test_a_file_of_integers_is_asked_as_its_baseline_is(tmp_path: Path) -> None:
    found = sections(evidence_of(job_folder(tmp_path, [{"kind": "quantize.static"}], net=TwoHeads)))
    assert found.trust is not None and found.looks is not None and found.left_out == {}
    told = {each.name: (each.before, each.after) for each in found.trust.disturbances}
    assert max(told["adversarial"]) < min(found.trust.clean_before, found.trust.clean_after), "both were attacked"
    assert found.looks.similarity > 0.9, "eight bits look where 32 did"


def test_unlabelled_samples_are_judged_by_the_baseline(evidence: Evidence) -> None:
    unlabelled = replace(evidence.samples, split=replace(evidence.samples.split, y=None))
    found = sections(measured_on(evidence, unlabelled))
    assert found.lost is not None and all(row.recall_before in (1.0, None) for row in found.lost.classes)
    assert found.trust is not None and found.trust.metric == "agreement" and found.trust.calibration is None
    assert found.trust.clean_before == 1.0 and names(found)[-1] == "adversarial"


def test_the_same_job_says_the_same_again(evidence: Evidence) -> None:
    found, again, other = (sections(asking(evidence, seed=seed)) for seed in (1, 1, 2))
    assert found == again and found.left_out == {}
    assert found.lost == other.lost and found.trust != other.trust, "another seed draws other noise"


def test_a_short_report_leaves_them_out(evidence: Evidence) -> None:
    found = sections(asking(evidence, report="short"))
    assert (found.lost, found.trust, found.looks) == (None, None, None)
    assert found.left_out == dict.fromkeys(("lost", "trust", "looks"), "the job asked for a short report")


def test_random_inputs_say_nothing(evidence: Evidence) -> None:
    found = sections(measured_on(evidence, samples_for(evidence.model, None)))
    assert (found.lost, found.trust, found.looks) == (None, None, None)
    assert all("random inputs" in found.left_out[name] for name in ("lost", "trust", "looks"))


def test_outputs_that_came_with_the_last_step_have_nothing_beside_them(evidence: Evidence) -> None:
    found = sections(replace(evidence, since=1, given=evidence.given[1:]))
    assert all("nothing to hold them against" in found.left_out[name] for name in ("lost", "trust", "looks"))


@pytest.mark.parametrize(
    ("runs", "left", "looked", "side"),
    [
        (60 * 16, {}, 6, 8),
        (5 * 16, {"trust": "nothing was attacked"}, 2, 6),
        (17, {"trust": "nothing was disturbed"}, 1, 4),
        (2, {"trust": "nothing was disturbed", "looks": "computes too much"}, 0, 0),
    ],
)
def test_what_is_left_out_follows_from_what_the_model_computes(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch, runs: int, left: dict[str, str], looked: int, side: int
) -> None:
    dearest = max(candidate.counts["macs"] for candidate in evidence.candidates)
    monkeypatch.setattr(asked, "RUN", 0)
    monkeypatch.setattr(asked, "MACS", 2 * runs * dearest)
    found = sections(evidence)
    assert set(found.left_out) == set(left)
    assert all(reason in found.left_out[name] for name, reason in left.items())
    seen = found.looks.looks if found.looks is not None else ()
    assert len(seen) == looked and {look.rows for look in seen} <= {side}
    assert found.trust is not None and found.trust.calibration is not None
