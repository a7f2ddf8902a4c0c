"""Whole jobs with a dataset of each kind: what their reports say of where quality was lost, of trust and of looks."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import engine.reload
from engine.findings import asked
from engine.jobdir import JobDir
from engine.run import run
from pith.report import Report
from tests.engine.data.uploads import COLOURS, PITCHES, check, json_lines, picture, sound, zipped
from tests.engine.tiny import DATASET_ID, Mlp, Regression, Tokens, TwoHeads, job_folder, pictures

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


def report_of(root: Path, upload: bytes, net: nn.Module, *examples: Tensor, **given: Any) -> Report:
    """Of a job that trains this network a little, then takes most of its weights."""
    folder = job_folder(root / "job", [{"kind": "finetune.full", "epochs": 1}, *PRUNED], data=None, outputs=["onnx"])
    check(root / "check", upload, given.pop("schema", None))
    for name in ("dataset.arrow", "dataset.json"):
        folder.input(name).write_bytes(JobDir(root / "check").part(name).read_bytes())
    torch.manual_seed(0)
    folder.model.write_bytes(exported(net, *examples))
    job = folder.read()
    spec = job.spec.model_copy(update={"dataset": DATASET_ID, **given})
    folder.spec.write_text(job.model_copy(update={"spec": spec}).model_dump_json())
    return run(folder.root, engine.reload.main)


def names(report: Report) -> list[str]:
    assert report.trust is not None
    return [each.name for each in report.trust.disturbances]


def kinds(report: Report) -> set[str]:
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


@pytest.mark.parametrize("features", ["waveform", "mel"])
def test_sounds(tmp_path: Path, features: str) -> None:
    files = {f"{name}/{index}.wav": sound(pitch + index) for name, pitch in PITCHES.items() for index in range(12)}
    how = {"kind": "audio", "sample_rate": 2000, "seconds": 0.2, "features": features}
    how |= {"mels": 8, "window": 64, "hop": 32} if features == "mel" else {}
    shape = (8, 13) if features == "mel" else (400,)
    report = report_of(
        tmp_path, zipped(files), Flat(shape[0] * shape[-1] if features == "mel" else 400), torch.randn(2, *shape),
        schema={"preprocessing": how},
    )  # fmt: skip
    assert kinds(report) == ({"image"} if features == "mel" else {"audio"})
    assert names(report) == ["noise", "silence", "adversarial"]


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


def simple(root: Path, net: type[nn.Module], **given: Any) -> Report:
    return run(
        job_folder(root, given.pop("recipe", PRUNED), net=net, outputs=["onnx"], **given).root, engine.reload.main
    )


def test_regression(tmp_path: Path) -> None:
    report = simple(tmp_path, Regression, schema={"task": "tabular-regression"})
    assert report.lost is not None and len(report.lost.worse) == 12 and report.lost.classes == ()
    worse = [row.after - row.before for row in report.lost.worse]
    assert worse == sorted(worse, reverse=True)
    assert report.trust is not None and report.trust.calibration is None and report.trust.metric == "r2"
    assert report.looks is not None and report.looks.looks[0].sample == report.lost.worse[0].sample


def test_integers_that_nobody_explained_are_counted_and_left_alone(tmp_path: Path) -> None:
    report = simple(tmp_path, Tokens)
    assert report.lost is not None and {flip.shown.kind for flip in report.lost.flipped} == {"numbers"}
    assert report.trust is not None and report.trust.calibration is not None and report.trust.disturbances == ()
    assert "what the integers mean" in report.left_out["trust"] and "no parts to cover" in report.left_out["looks"]


def test_unlabelled_samples_are_judged_by_the_baseline_and_integers_do_not_matter(tmp_path: Path) -> None:
    data = {"x_train": pictures(64, 3)[0], "x_test": pictures(32, 4)[0]}
    report = simple(tmp_path, Mlp, data=data, recipe=[{"kind": "quantize.static"}])
    assert report.lost is not None and all(row.recall_before in (1.0, None) for row in report.lost.classes)
    assert report.trust is not None and report.trust.metric == "agreement" and report.trust.calibration is None
    assert report.trust.clean_before == 1.0 and names(report)[-1] == "adversarial"


def test_several_outputs_are_seen_by_the_first(tmp_path: Path) -> None:
    report = simple(tmp_path, TwoHeads)
    assert report.trust is not None and report.looks is not None and len(report.looks.looks) == 6


def test_the_same_job_says_the_same_again(tmp_path: Path) -> None:
    reports = [simple(tmp_path / name, Mlp, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    told = [(report.lost, report.trust, report.looks) for report in reports]
    assert told[0] == told[1]
    assert told[0][0] == told[2][0] and told[0][1] != told[2][1], "another seed draws other noise"


def test_a_short_report_leaves_them_out(tmp_path: Path) -> None:
    report = simple(tmp_path, Mlp, report="short")
    assert (report.lost, report.trust, report.looks) == (None, None, None)
    assert {report.left_out[name] for name in ("lost", "trust", "looks")} == {"the job asked for a short report"}


def test_random_inputs_say_nothing(tmp_path: Path) -> None:
    report = simple(tmp_path, Mlp, data=None)
    assert (report.lost, report.trust, report.looks) == (None, None, None)
    assert all("there is no dataset" in report.left_out[name] for name in ("lost", "trust", "looks"))


def test_without_labels_or_classes_there_is_nothing_to_lose_but_something_to_look_at(tmp_path: Path) -> None:
    report = simple(tmp_path, Regression, data={"x_test": pictures(16, 4)[0]})
    assert report.lost is None and report.trust is None and "no labels" in report.left_out["lost"]
    assert report.looks is not None and report.looks.looks[0].truth is None


def test_outputs_that_came_with_the_last_step_have_nothing_beside_them(tmp_path: Path) -> None:
    recipe = [{"kind": "finetune.head", "classes": 4, "epochs": 1}]
    report = simple(tmp_path, Mlp, recipe=recipe)
    assert all("nothing to hold them against" in report.left_out[name] for name in ("lost", "trust", "looks"))


@pytest.mark.parametrize(
    ("budget", "left", "looked", "sides"),
    [
        (2 * 200_000 * 60 * 16, {}, 6, 8),
        (2 * 200_000 * 5 * 16, {"trust": "nothing was attacked"}, 3, 4),
        (2 * 200_000 * 17, {"trust": "nothing was disturbed"}, 1, 4),
        (2 * 200_000 * 2, {"trust": "nothing was disturbed", "looks": "computes too much"}, 0, 0),
    ],
)
def test_what_is_left_out_follows_from_what_the_model_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: float, left: dict[str, str], looked: int, sides: int
) -> None:
    monkeypatch.setattr(asked, "MACS", budget * 1.02)
    report = simple(tmp_path, Mlp)
    assert {name for name in report.left_out if name in ("trust", "looks")} == set(left)
    assert all(reason in report.left_out[name] for name, reason in left.items())
    found = report.looks.looks if report.looks is not None else ()
    assert len(found) == looked and {look.rows for look in found} <= {sides}
    assert report.trust is not None and report.trust.calibration is not None
