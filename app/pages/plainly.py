"""What the API says, in the words of a form: steps are counted from 1, options are called as at their fields, and the
way out is on a page instead of a route."""

import re
from collections.abc import Callable
from functools import cache

from pith.base import Frozen
from pith.job import Constraints, JobSpec, Limits
from pith.recipe import step_classes
from pith.training import TrainingOptions

_RULES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"\b(?:recipe\[(\d+)\]|recipe/(\d+)\b)", lambda found: f"step {int(found[1] or found[2]) + 1}"),
    (r"\baugmentation\[(\d+)\]", lambda found: f"augmentation {int(found[1]) + 1}"),
    (r"\boutputs\[\d+\] is (\w+)", r"\1 is asked for"),
    (r'ask for "outputs": \["onnx"\]', "pick onnx alone"),
    (r'upload a dataset and name it in "dataset"', "pick a dataset, or upload one first"),
    (r"which GET /v1/techniques lists", "which stand under “Add a step”"),
    (r"list what there is at /v1/(?:models|datasets)", "pick another one, or upload it first"),
    (r"upload the (\w+) first, POST or PUT /v1/\w+", r"upload the \1 first"),
    (r",? as GET /v1/\S+ lists them under \w+", ""),
    (r"( id here) \(GET /v1/\w+ lists them\)|; GET /v1/\S+ lists (?:them|a job's)", r"\1"),
    (r"\bnull\b", "none"),
    (r"\b(training|calibration)_data\b", r"\1 data"),
)


def plainly(text: str) -> str:
    for pattern, words in _RULES:
        text = re.sub(pattern, words, text)
    return _options().sub(lambda found: found[0].replace("_", " "), text)


@cache
def _options() -> re.Pattern[str]:
    """The names of all options that are two words, where they stand alone."""
    classes: tuple[type[Frozen], ...] = (JobSpec, Constraints, Limits, TrainingOptions, *step_classes().values())
    names = {name for cls in classes for name in cls.model_fields if "_" in name}
    return re.compile(rf"(?<![\w.'/])(?:{'|'.join(sorted(names, key=len, reverse=True))})(?![\w'/]|\.\w)")
