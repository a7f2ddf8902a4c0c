"""Relations among the samples of a batch (Park, Kim, Lu and Cho 2019, arXiv 1904.05068)."""

from torch import Tensor

from engine.context import Context
from engine.distill.lesson import Lesson, Method, Said, taught
from engine.distill.losses import angles, distances
from engine.distill.summit import summit, vector
from engine.model import Model
from pith.techniques.distill.relation import DistillRelation


def apply(model: Model, config: DistillRelation, ctx: Context) -> Model:
    return taught(model, config, ctx, lambda lesson: _method(lesson, config))


def _method(lesson: Lesson, config: DistillRelation) -> Method:
    def compare(said: Said) -> Tensor:
        mine, theirs = vector(said.mine, said.batch.outputs[0]), vector(said.theirs, said.output)
        return config.distance_weight * distances(mine, theirs) + config.angle_weight * angles(mine, theirs)

    own = summit(lesson.student)
    return Method(compare, (own,) * len(lesson.teachers), tuple(summit(teacher) for teacher in lesson.teachers))
