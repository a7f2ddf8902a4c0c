"""The example that a service offers to who has nothing to upload yet."""

from pith.base import Frozen
from pith.job import JobSpec
from pith.resources import Dataset, Model


class Example(Frozen):
    """A small model and its dataset, as any other from now on, and a job spec to try on them."""

    model: Model
    dataset: Dataset
    spec: JobSpec
