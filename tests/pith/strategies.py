"""Any step, any recipe, any job spec that the contract takes; read off the classes themselves."""

from typing import Any

from hypothesis import strategies as st

from pith.base import Step
from pith.iterative import Iterative
from pith.job import Constraints, JobSpec
from pith.recipe import step_classes
from pith.training import TrainingOptions

MODEL, DATASET, TEACHER = (f"{prefix}_{letter * 26}" for prefix, letter in (("mdl", "0"), ("dts", "1"), ("mdl", "2")))

training = st.builds(
    TrainingOptions,
    epochs=st.integers(1, 1000),
    learning_rate=st.floats(1e-9, 10),
    batch_size=st.integers(1, 65536),
    optimizer=st.sampled_from(["adamw", "sgd"]),
)


def least(kind: str) -> dict[str, Any]:
    """The smallest step of that kind that validates."""
    return {"kind": kind, **({"peers": [TEACHER]} if "peers" in step_classes()[kind].model_fields else {})}


def _step(cls: type[Step]) -> st.SearchStrategy[Step]:
    options: dict[str, st.SearchStrategy[Any]] = {}
    if issubclass(cls, Iterative):
        options = {"iterations": st.integers(1, 100), "recovery": st.none() | training}
    if "teacher" in cls.model_fields:
        options = {"teacher": st.sampled_from(["baseline", TEACHER])}
    if "peers" in cls.model_fields:
        options = {"peers": st.just((TEACHER,))}
    return st.builds(cls, **options)


steps = st.one_of([_step(cls) for cls in step_classes().values()])
recipes = st.lists(steps, min_size=1, max_size=6).map(tuple)
specs = st.builds(
    JobSpec,
    model=st.just(MODEL),
    dataset=st.sampled_from([None, DATASET]),
    recipe=recipes,
    constraints=st.builds(Constraints, max_metric_drop=st.none() | st.floats(0, 1)),
    outputs=st.permutations(["onnx", "pt2", "safetensors"]).map(lambda forms: tuple(forms[:2])),
    seed=st.integers(0, 2**63 - 1),
)
