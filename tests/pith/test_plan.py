"""Plans from facts alone: every problem at once and in its place, numbers, and what is not known yet."""

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.findings import asked, cover, looks, trust
from engine.findings.attack import TRIES
from engine.findings.disturb import DISTURBANCES
from pith.costs import (
    ATTACKS,
    LOOKED,
    REPORT_RUNS,
    RUN_MACS,
    SECTION_MACS,
    SLOWEST,
    TRUSTED,
    WORDS_LOST,
    Seconds,
)
from pith.dataset import (
    AudioPreprocessing,
    ColumnFacts,
    DatasetFacts,
    ImagePreprocessing,
    SplitFacts,
    TabularPreprocessing,
    TextPreprocessing,
)
from pith.errors import PithError
from pith.facts import Estimate, LayerFacts, ModelFacts, TensorFacts
from pith.job import JobSpec
from pith.narrow import channels
from pith.plan import Plan, plan
from pith.recipe import step_classes
from pith.resources import Dataset, Model
from tests.pith.strategies import TEACHER, least

NOW, CHECK, DIGEST = datetime(2026, 1, 1, tzinfo=UTC), "job_" + "0" * 26, "sha256:" + "0" * 64

MODEL_ID, TEACHER_ID, DATASET_ID = "mdl_" + "0" * 26, "mdl_" + "1" * 26, "dts_" + "0" * 26
REJECTED = PithError("model_truncated", reason="it ends").problem

STEM = LayerFacts(name="stem", kind="Conv2d", shape=(64, 3, 3, 3), parameters=1728, macs=100_000, width=64, group=0)
NORM = LayerFacts(name="norm", kind="BatchNorm2d", shape=(64,), parameters=128)
BODY = LayerFacts(name="body", kind="Conv2d", shape=(64, 64, 3, 3), parameters=36_864, macs=900_000, width=64, group=1)
HEAD = LayerFacts(
    name="head", kind="Linear", shape=(10, 64), parameters=650, macs=640, width=10, left_alone="it gives the output"
)
IMAGES = ModelFacts(
    format="pt2",
    trainable=True,
    task="image-classification",
    inputs=(TensorFacts(name="x", shape=(None, 3, 32, 32), dtype="float32"),),
    outputs=(TensorFacts(name="output", shape=(None, 10), dtype="float32"),),
    dtype="float32",
    parameters=39_370,
    macs=1_000_640,
    layers=(STEM, NORM, BODY, HEAD),
    estimate=Estimate(inference_seconds=0.001, training_seconds=0.003, fixed_bytes=10**9, sample_bytes=10**6),
)
PICTURES = DatasetFacts(
    format="folders",
    task="image-classification",
    samples=600,
    splits=(SplitFacts(name="train", samples=500, labelled=True), SplitFacts(name="test", samples=100, labelled=True)),
    classes=tuple("abcdefghij"),
    columns=(ColumnFacts(name="image", role="input", type="image", dtype="binary"),),
    preprocessing=ImagePreprocessing(size=(32, 32)),
    input_shape=(3, 32, 32),
)
TEXTS = PICTURES.model_copy(
    update={
        "columns": (ColumnFacts(name="text", role="input", type="text", dtype="string"),),
        "preprocessing": TextPreprocessing(length=16, tokenizer="model"),
        "input_shape": None,
    }
)


def model(facts: ModelFacts | None = IMAGES, id: str = MODEL_ID, **given: Any) -> Model:
    base = {"name": "m", "digest": DIGEST, "size_bytes": 1, "created_at": NOW, "status": "ready", "check": CHECK}
    return Model(id=id, facts=facts, **{**base, **given})


def dataset(facts: DatasetFacts | None = PICTURES, **given: Any) -> Dataset:
    base = {"name": "d", "digest": DIGEST, "size_bytes": 1, "created_at": NOW, "status": "ready", "check": CHECK}
    return Dataset(id=DATASET_ID, facts=facts, **{**base, **given})


def spec(*recipe: dict[str, Any], **given: Any) -> JobSpec:
    return JobSpec.model_validate({"model": MODEL_ID, "dataset": DATASET_ID, "recipe": recipe, **given})


def wrong(found: Plan) -> list[tuple[str, str]]:
    assert found.possible == (not found.problems)
    return [(problem.errors[0].pointer, problem.code) for problem in found.problems]


PRUNE, DISTILL, STATIC = {"kind": "prune.channel"}, {"kind": "distill.logits"}, {"kind": "quantize.static"}


def test_channels_of_layers_that_stay_are_counted_too() -> None:
    turned = HEAD.model_copy(update={"kind": "ConvTranspose2d", "shape": (8, 16, 3, 3), "width": None})
    assert channels((STEM, BODY, HEAD, turned)) == 64 + 64 + 10 + 16


def test_numbers_of_a_whole_recipe() -> None:
    prune = {**PRUNE, "ignore": ["body"], "iterations": 2, "recovery": {"epochs": 3, "batch_size": 100}}
    found = plan(spec(prune, {**DISTILL, "epochs": 2, "batch_size": 200}, STATIC), model(), dataset(), {})
    assert wrong(found) == []
    first, second, third = found.steps
    assert first.does == (
        "Removes 32 of 138 channels in 1 of 3 layers, widths kept at multiples of 8, in 2 parts, each followed by "
        "3 epochs of 500 samples in batches of 100 (15 optimizer steps)."
    )
    assert (first.touched, first.left_alone) == (("stem",), {"body": "matches body", "head": "it gives the output"})
    assert first.parameters.after == 39_370 - 864 - 64 - 36_864 // 2
    assert first.macs.after == 1_000_640 - 50_000 - 450_000
    assert "2 epochs of 500 samples in batches of 200 (6 optimizer steps)" in second.does
    assert second.parameters.before == first.parameters.after == third.parameters.after
    assert "with 256 samples (" in third.does
    assert found.quality is not None and (found.quality.metric, found.quality.on) == ("accuracy", "test split")
    assert found.memory_bytes == 10**9 + 200 * 10**6 + 500 * 3 * 32 * 32 * 4
    assert found.seconds is not None and first.seconds is not None
    assert first.seconds.least < 2 * 3 * 500 * 0.003 < first.seconds.most
    assert found.seconds.most > sum(step.seconds.most for step in found.steps if step.seconds)


def foreseen(facts: ModelFacts = IMAGES, data: DatasetFacts | None = PICTURES, **given: Any) -> Seconds:
    given = given if data is not None else {**given, "dataset": None}
    found = plan(spec({"kind": "quantize.weight_only"}, **given), model(facts), data and dataset(data), {}).seconds
    assert found is not None
    return found


def test_a_whole_report_takes_longer_within_a_bound() -> None:
    """Trust and looks run the models on samples, unless there are none, or the report is short, and stop somewhere."""
    whole, short = foreseen(), foreseen(report="short")
    assert whole.most > short.most and whole.least > short.least
    runs = 2 * 100 * ATTACKS + 2 * LOOKED
    assert whole.most - short.most == pytest.approx(runs * 0.001 * SLOWEST + 2 * REPORT_RUNS * 0.001 * SLOWEST, abs=0.2)
    alone = foreseen(data=None).most - foreseen(data=None, report="short").most
    assert alone == pytest.approx(2 * REPORT_RUNS * 0.001 * SLOWEST, abs=0.2)
    splits = (PICTURES.splits[0], SplitFacts(name="test", samples=100_000, labelled=True))
    more = PICTURES.model_copy(update={"splits": splits})
    many = foreseen(data=more).most - foreseen(data=more, report="short").most
    assert many < 3 * (whole.most - short.most), "not more samples than are drawn"
    ids = IMAGES.model_copy(update={"inputs": (TensorFacts(name="x", shape=(None, 16), dtype="int64"),)})
    assert foreseen(ids).most < whole.most, "words are not attacked"
    vast = IMAGES.model_copy(update={"macs": 10**12})
    assert foreseen(vast).most - foreseen(vast, report="short").most < alone + 0.2, "a large model is asked little"


def test_what_is_foreseen_of_a_report_is_what_the_engine_does_at_most() -> None:
    per_kind = [sum(len(change.strengths) for change in changes) + 1 for changes in DISTURBANCES.values()]
    assert max(per_kind) + TRIES + 2 == ATTACKS and len(DISTURBANCES["text"][0].strengths) + 1 == WORDS_LOST
    assert (trust.SAMPLES.stop - 1, asked.MACS, asked.RUN) == (TRUSTED, SECTION_MACS, RUN_MACS)
    assert LOOKED == looks.SAMPLES * (cover.PARTS + 1)


def test_a_coupled_layer_stays_with_the_one_that_is_named() -> None:
    layers = (STEM, BODY.model_copy(update={"group": 0}), HEAD)
    found = plan(
        spec({**PRUNE, "ignore": ["stem"]}), model(IMAGES.model_copy(update={"layers": layers})), dataset(), {}
    )
    assert found.steps[0].left_alone["body"] == "its channels are those of stem, which is left alone"
    assert wrong(found) == [("/recipe/0", "technique_inapplicable")]


def test_every_problem_at_once() -> None:
    asked = spec(
        STATIC,
        {**PRUNE, "ignore": ["absent", "head"]},
        {"kind": "distill.logits", "teacher": TEACHER_ID},
        {"kind": "finetune.full"},
        dataset=None,
        constraints={"max_metric_drop": 0.1},
    )
    assert wrong(plan(asked, model(), None, {})) == [
        ("/recipe/2/teacher", "not_found"),
        ("/recipe/1", "recipe_order"),
        ("/recipe/2", "recipe_order"),
        ("/recipe/3", "recipe_order"),
        ("/recipe/0", "dataset_required"),
        ("/recipe/2", "dataset_required"),
        ("/recipe/3", "dataset_required"),
        ("/constraints/max_metric_drop", "dataset_required_by_constraint"),
        ("/recipe/1/ignore/0", "technique_inapplicable"),
    ]


def changed(facts: Any, **update: Any) -> Any:
    return facts.model_copy(update=update)


ONNX = changed(IMAGES, format="onnx", trainable=False)
TOKENS = changed(IMAGES, inputs=(TensorFacts(name="ids", shape=(None, 16), dtype="int64"),), task=None)
SCORES = changed(IMAGES, outputs=(TensorFacts(name="output", shape=(None, 1), dtype="float32"),))
WORDS = changed(TEXTS, preprocessing=TextPreprocessing(length=16, tokenizer="words"), vocabulary=900)
TARGETS = changed(
    PICTURES,
    task="tabular-regression",
    classes=(),
    columns=(*PICTURES.columns, ColumnFacts(name="y", role="label", type="tensor", dtype="float32", shape=(3,))),
)
ROWS = changed(
    PICTURES,
    format="table",
    task="tabular-classification",
    columns=(ColumnFacts(name="age", role="input", type="numeric", dtype="double"),),
    preprocessing=TabularPreprocessing(),
    input_shape=(12,),
)
RANKED = changed(IMAGES, task=None, inputs=(TensorFacts(name="x", shape=(None, 12), dtype="float32"),))
SOUNDS = changed(
    PICTURES,
    task="audio-classification",
    columns=(ColumnFacts(name="a", role="input", type="audio", dtype="binary"),),
    preprocessing=AudioPreprocessing(),
    input_shape=(1, 40, 101),
)
TABLE = LayerFacts(name="table", kind="Embedding", shape=(100, 8), parameters=800)
UNFIT: dict[str, tuple[ModelFacts, DatasetFacts, list[tuple[str, str]], str]] = {
    "size": (
        IMAGES,
        changed(PICTURES, preprocessing=ImagePreprocessing(size=(64, 64)), preprocessing_declared=True),
        [("/dataset", "dataset_mismatch")],
        "(3, 64, 64)",
    ),
    "classes": (
        IMAGES,
        changed(PICTURES, classes=tuple("abcdefghijk")),
        [("/dataset", "dataset_mismatch")],
        "11 classes and the model 10 outputs",
    ),
    "no tokenizer": (TOKENS, TEXTS, [("/dataset", "dataset_mismatch")], "brought none"),
    "text into numbers": (
        changed(IMAGES, task=None, inputs=(TensorFacts(name="x", shape=(None, 16), dtype="float32"),), tokenizer=True),
        TEXTS,
        [("/dataset", "dataset_mismatch")],
        "takes float32",
    ),
    "vocabulary": (changed(TOKENS, layers=(TABLE, HEAD)), WORDS, [("/dataset", "dataset_mismatch")], "900 tokens"),
    "targets": (SCORES, TARGETS, [("/dataset", "dataset_mismatch")], "targets of the shape (3)"),
    "unlabelled": (
        IMAGES,
        changed(PICTURES, splits=(SplitFacts(name="train", samples=5, labelled=False),)),
        [("/recipe/0", "dataset_split_missing")],
        "has only unlabelled train; put the files of each class into a folder of its own",
    ),
    "unlabelled rows": (
        RANKED,
        changed(ROWS, splits=(SplitFacts(name="train", samples=5, labelled=False),)),
        [("/recipe/0", "dataset_split_missing")],
        'only unlabelled train; send it again with its label column named, as schema={"label": "price"}.',
    ),
    "unlabelled arrays": (
        IMAGES,
        changed(PICTURES, format="npz", splits=(SplitFacts(name="train", samples=5, labelled=False),)),
        [("/recipe/0", "dataset_split_missing")],
        "only unlabelled train; add the array y_train beside x_train.",
    ),
    "only a test split": (
        IMAGES,
        changed(PICTURES, splits=PICTURES.splits[1:]),
        [("/recipe/0", "dataset_split_missing")],
        "needs a labelled training split, and the dataset has only test; add one.",
    ),
    "rows for a model of texts": (
        changed(
            TOKENS, task="text-classification", inputs=(TensorFacts(name="ids", shape=(None, None), dtype="int64"),)
        ),
        ROWS,
        [("/dataset", "dataset_mismatch")],
        "holds rows of a table, and this model is for texts (its input ids takes integers of the shape (any)); "
        "use a model for rows of a table, such as pith/mlp with in_features=12.",
    ),
    "rows for a model that names no task": (changed(TOKENS), ROWS, [("/dataset", "dataset_mismatch")], "is for texts"),
    "rows for a model of pictures": (
        IMAGES,
        ROWS,
        [("/dataset", "dataset_mismatch")],
        "holds rows of a table, and this model is for pictures (its input x takes numbers of the shape (3, 32, 32))",
    ),
    "texts for a model of pictures": (
        IMAGES,
        WORDS,
        [("/dataset", "dataset_mismatch")],
        "holds texts, and this model is for pictures (its input x takes numbers of the shape (3, 32, 32)); "
        "use a model for texts, such as pith/text_cnn with vocab_size=900.",
    ),
    "rows of another width": (
        changed(RANKED, inputs=(TensorFacts(name="x", shape=(None, 9), dtype="float32"),)),
        ROWS,
        [("/dataset", "dataset_mismatch")],
        "the shape (12); the model's input x takes (9); make a model with in_features=12, or choose other columns",
    ),
    "fractions for integers": (
        TOKENS,
        changed(PICTURES, columns=(ColumnFacts(name="x", role="input", type="tensor", dtype="float32", shape=(16,)),)),
        [("/dataset", "dataset_mismatch")],
        "the model's input ids takes integers, such as token ids; save integers, or use",
    ),
    "sounds for integers": (
        changed(
            TOKENS, task="audio-classification", inputs=(TensorFacts(name="ids", shape=(None, None), dtype="int64"),)
        ),
        SOUNDS,
        [("/dataset", "dataset_mismatch")],
        "becomes fractions, and the model's input ids takes integers",
    ),
    "finished": (
        ONNX,
        PICTURES,
        [
            ("/recipe/0", "model_not_trainable"),
            ("/outputs/1", "output_unavailable"),
            ("/outputs/2", "output_unavailable"),
        ],
        "neither trained nor reshaped",
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_does_not_fit(name: str) -> None:
    facts, data, problems, said = UNFIT[name]
    found = plan(spec({"kind": "finetune.full"}), model(facts), dataset(data), {})
    assert wrong(found) == problems
    assert said in found.problems[0].detail


def test_sizes_that_nobody_declared_are_the_models() -> None:
    derived = changed(PICTURES, preprocessing=ImagePreprocessing(size=(64, 64)), input_shape=(3, 64, 64))
    assert wrong(plan(spec(STATIC), model(), dataset(derived), {})) == []
    declared = changed(derived, preprocessing_declared=True)
    assert wrong(plan(spec(STATIC), model(), dataset(declared), {})) == [("/dataset", "dataset_mismatch")]
    own = changed(IMAGES, preprocessing=ImagePreprocessing(size=(224, 224)))
    assert wrong(plan(spec(STATIC), model(own), dataset(derived), {})) == [("/dataset", "dataset_mismatch")]
    asked = spec(STATIC, preprocessing={"kind": "image", "size": [32, 32]})
    assert wrong(plan(asked, model(own), dataset(declared), {})) == []
    longer = changed(TEXTS, preprocessing=TextPreprocessing(length=99))
    assert wrong(plan(spec(STATIC), model(changed(TOKENS, tokenizer=True)), dataset(longer), {})) == []


def test_preprocessing_of_another_kind() -> None:
    asked = spec(STATIC, preprocessing={"kind": "audio"})
    found = plan(asked, model(), dataset(), {})
    assert wrong(found) == [("/dataset", "dataset_mismatch")]
    assert "is for audio, and the inputs are image" in found.problems[0].detail


def test_classes_without_samples_need_no_output() -> None:
    splits = (SplitFacts(name="train", samples=5, labelled=True, classes={"a": 5, "k": 0}),)
    declared = changed(PICTURES, classes=tuple("abcdefghijk"), splits=splits)
    assert wrong(plan(spec(STATIC), model(), dataset(declared), {})) == []


def test_teachers_must_fit() -> None:
    asked = spec({**DISTILL, "teacher": TEACHER_ID})
    assert wrong(plan(asked, model(), dataset(), {TEACHER_ID: model(id=TEACHER_ID)})) == []
    found = plan(asked, model(), dataset(), {TEACHER_ID: model(SCORES, TEACHER_ID)})
    assert wrong(found) == [("/recipe/0/teacher", "teacher_mismatch")]
    assert "The teacher gives (1) for (3, 32, 32) and the student (10)" in found.problems[0].detail


def test_inputs_that_are_checked_or_rejected() -> None:
    checking = plan(spec(STATIC), model(None, status="checking"), dataset(None, status="checking"), {})
    assert wrong(checking) == [] and checking.steps == () and checking.memory_bytes is None
    assert [note.split()[0] for note in checking.notes] == [MODEL_ID, DATASET_ID]
    asked = spec(STATIC, {**DISTILL, "teacher": TEACHER_ID})
    refused: dict[str, Any] = {"status": "rejected", "error": REJECTED}
    teachers = {TEACHER_ID: model(None, TEACHER_ID, **refused)}
    found = plan(asked, model(None, **refused), dataset(None, **refused), teachers)
    assert wrong(found) == [
        ("/model", "input_rejected"),
        ("/dataset", "input_rejected"),
        ("/recipe/1/teacher", "input_rejected"),
        ("/recipe/1", "recipe_order"),
    ]
    assert wrong(plan(spec(STATIC), model(), None, {})) == [("/dataset", "not_found")]


def test_a_dataset_that_is_checked_leaves_the_model_to_be_looked_at() -> None:
    found = plan(spec({**PRUNE, "round_to": 128}), model(), dataset(None, status="checking"), {})
    assert wrong(found) == [("/recipe/0/pruning_ratio", "technique_inapplicable")]
    assert found.seconds is None and found.quality is None


def test_notes() -> None:
    data = changed(PICTURES, task="audio-classification", classes=("a", "b"))
    asked = spec({"kind": "finetune.full", "batch_size": 600})
    notes = plan(asked, model(), dataset(data), {}, memory_limit=10**9).notes
    assert [note.split(";")[0] for note in notes] == [
        "The model is for image-classification and the dataset for audio-classification.",
        "The model has 10 outputs and the dataset 2 classes",
        "recipe[0]: batch_size 600 is more than the 500 samples there are.",
        "About 1,506,144,000 bytes of memory will be needed, and PITH_JOB_MEMORY_BYTES allows 1,000,000,000",
    ]
    assert plan(spec(STATIC), model(), dataset(), {}, memory_limit=10**10).notes == ()


HEARING: list[tuple[tuple[int | None, ...], dict[str, Any] | None, str]] = [
    ((1, 40, 101), None, ""),
    ((40, None), None, ""),
    ((8000,), None, ""),
    ((1, 8000), None, ""),
    ((1, 40, 98), None, "gives samples of the shape (1, 40, 101); the model's input x takes (1, 40, 98); set the pre"),
    ((1, 40, 98), {"kind": "audio", "seconds": 0.98}, "of the shape (1, 40, 99)"),
    ((8000,), {"kind": "audio", "features": "waveform"}, "of the shape (16000)"),
    ((1, 8000), {"kind": "audio", "features": "waveform", "seconds": 0.5}, ""),
    ((3, 32, 32), None, "holds sounds, and this model is for pictures"),
]


@pytest.mark.parametrize(("shape", "asked", "said"), HEARING)
def test_sounds_have_the_shape_that_the_model_takes(
    shape: tuple[int | None, ...], asked: dict[str, Any] | None, said: str
) -> None:
    facts = changed(IMAGES, task=None, inputs=(TensorFacts(name="x", shape=(None, *shape), dtype="float32"),))
    found = plan(spec(STATIC, preprocessing=asked), model(facts), dataset(SOUNDS), {})
    assert wrong(found) == ([("/dataset", "dataset_mismatch")] if said else [])
    assert not said or said in found.problems[0].detail


def test_a_model_that_fits_may_be_for_another_task() -> None:
    rows = changed(RANKED, task="image-classification")
    found = plan(spec({"kind": "finetune.full"}), model(rows), dataset(ROWS), {})
    assert wrong(found) == []
    assert found.notes == ("The model is for image-classification and the dataset for tabular-classification.",)


def test_fresh_weights_are_no_measure() -> None:
    fresh, train = model(changed(IMAGES, format="architecture")), {"kind": "finetune.full"}
    (alone,) = plan(spec(train), fresh, dataset(), {}).notes
    assert alone == "The baseline has fresh weights: the report compares quality with a model that knows nothing."
    limited = spec(train, PRUNE, DISTILL, constraints={"max_metric_drop": 0.1})
    baseline, teacher = plan(limited, fresh, dataset(), {}).notes
    assert "knows nothing, and max_metric_drop is held against that; compare with the first step, or train" in baseline
    assert teacher == "recipe[2]: the teacher is the baseline, whose weights are fresh; name one that was trained."
    assert plan(limited, model(), dataset(), {}).notes == ()


@pytest.mark.parametrize("kind", ["prune.channel", "prune.magnitude", "finetune.full"])
def test_layers_of_a_finished_graph_are_no_reason(kind: str) -> None:
    asked = spec({"kind": kind}, outputs=["onnx"])
    found = plan(asked, model(changed(ONNX, layers=(NORM,))), dataset(), {})
    assert wrong(found) == [("/recipe/0", "model_not_trainable")]


def test_what_a_step_without_layers_asks_for() -> None:
    def way_out(**options: Any) -> str:
        found = plan(spec({**PRUNE, **options}), model(changed(IMAGES, layers=(HEAD,))), dataset(), {})
        return found.problems[0].detail.rpartition("; ")[2]

    assert way_out() == "leave this step out."
    assert way_out(ignore=["head"]) == "leave this step out or shorten ignore."


def test_a_narrow_layer_is_left_alone_with_the_reason() -> None:
    layers = (STEM, changed(BODY, width=8), HEAD)
    found = plan(spec(PRUNE), model(changed(IMAGES, layers=layers)), dataset(), {})
    assert found.steps[0].left_alone["body"] == "too narrow to lose 50% and keep a multiple of 8"


@pytest.mark.parametrize(
    ("splits", "quality"),
    [
        ((("train", True), ("test", True)), ("accuracy", "test split")),
        ((("train", True), ("test", False)), ("agreement", "test split")),
        ((("train", True),), ("agreement", "training inputs")),
    ],
)
def test_quality(splits: tuple[tuple[Any, bool], ...], quality: tuple[str, str]) -> None:
    named = tuple(SplitFacts(name=name, samples=9, labelled=labelled) for name, labelled in splits)
    found = plan(spec(STATIC), model(), dataset(changed(PICTURES, splits=named)), {}).quality
    assert found is not None and (found.metric, found.on) == quality


def test_a_limit_that_nothing_can_be_held_against() -> None:
    unlabelled = changed(
        TARGETS, columns=PICTURES.columns, splits=(SplitFacts(name="train", samples=9, labelled=False),)
    )
    found = plan(spec(STATIC, constraints={"max_metric_drop": 0.1}), model(SCORES), dataset(unlabelled), {})
    assert wrong(found) == [("/constraints/max_metric_drop", "dataset_mismatch")]


# Beside every kind of pruning and quantizing.
ABOUT_LAYERS = {"distill.attention", "distill.hint", "finetune.lora", "finetune.contrastive"}


@pytest.mark.parametrize("kind", sorted(step_classes()))
def test_a_step_without_layers_to_work_on(kind: str) -> None:
    bare = changed(IMAGES, layers=(NORM,), parameters=128)
    others = {TEACHER: model(bare, TEACHER)}
    found = plan(spec(least(kind)), model(bare), dataset(), others)
    refuses = kind.split(".")[0] in ("prune", "quantize") or kind in ABOUT_LAYERS
    codes = {code for _, code in wrong(found)} - {"merge_mismatch"}  # a model cannot stand behind itself
    refused = {"head_not_found"} if kind == "finetune.head" else {"technique_inapplicable"} if refuses else set()
    assert codes == refused
    assert found.steps[0].does.endswith(".")


def test_augmentations_that_do_not_fit_are_all_named() -> None:
    asked = [{"kind": "flip"}, {"kind": "spec_augment"}, {"kind": "token_dropout"}, {"kind": "mixup"}]
    found = plan(spec({"kind": "finetune.full"}, augmentation=asked), model(), dataset(), {})
    places = [place for place, code in wrong(found) if code == "augmentation_mismatch"]
    assert places == ["/augmentation/1", "/augmentation/2"]
    assert "is for spectrograms, and the samples are pictures; leave it out." in found.problems[0].detail


@pytest.mark.parametrize(
    ("sizes", "most"), [((8, 8), 7), ((8, 400), 7), ((None, 8), 7), ((1, 8), 0), ((None, None), 400), ((401, 401), 400)]
)
def test_a_crop_that_cuts_out_nothing_of_the_picture_is_refused(sizes: tuple[int | None, ...], most: int) -> None:
    images = changed(IMAGES, inputs=(changed(IMAGES.inputs[0], shape=(None, 3, *sizes)),))
    data = dataset(changed(PICTURES, preprocessing=ImagePreprocessing(), input_shape=None))
    asked = spec({"kind": "finetune.full"}, augmentation=[{"kind": "crop", "padding": 400}])
    details = [
        problem.detail
        for problem in plan(asked, model(images), data, {}).problems
        if problem.errors[0].pointer == "/augmentation/0"
    ]
    if most == 400:
        assert details == []
    else:
        (said,) = details
        assert f"are {' x '.join('any' if size is None else str(size) for size in sizes)}: windows" in said
        assert said.endswith(f"; lower padding to {most} or less." if most else "; leave it out.")


def test_an_augmentation_needs_a_step_that_trains() -> None:
    found = plan(spec(STATIC, augmentation=[{"kind": "flip"}]), model(), dataset(), {})
    assert wrong(found) == [("/augmentation/0", "augmentation_mismatch")]
    assert "no step of the recipe trains" in found.problems[0].detail
