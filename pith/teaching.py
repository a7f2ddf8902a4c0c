"""What every distillation shares: teachers, a student, kept answers of the teachers, unlabelled data."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Literal, NamedTuple, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from pith.base import Change, Frozen, Need, Step
from pith.facts import ModelFacts
from pith.fit import data_problems, split_of, teacher_problem
from pith.idle import refuse_idle
from pith.ids import DatasetId, ModelId
from pith.outlook import Given, Outlook, Refusal
from pith.places import HintPair, Pairs, paired, unknown_places
from pith.students import Pupil, Student, pupil
from pith.training import TrainingOptions

MOST_TEACHERS = 16
Named = Literal["baseline"] | ModelId


class WeightedTeacher(Frozen):
    """One of several teachers."""

    model: Named = Field(description="The model that was uploaded for this job, or the id of another one.")
    weight: float = Field(1.0, gt=0, le=1000, description="Its share, against the weights of the others.")


def _distinct(teachers: tuple[WeightedTeacher, ...]) -> tuple[WeightedTeacher, ...]:
    twice = [name for name, count in Counter(each.model for each in teachers).items() if count > 1]
    if twice:
        raise ValueError(f"names {', '.join(twice)} twice")
    return teachers


Teachers = Annotated[
    tuple[WeightedTeacher, ...], AfterValidator(_distinct), Field(min_length=1, max_length=MOST_TEACHERS)
]


def _how_many(given: object) -> str:
    return "one" if given is None or isinstance(given, str) else "several"


OneOrSeveral = Annotated[
    Annotated[Named, Tag("one")] | Annotated[Teachers, Tag("several")],
    Discriminator(_how_many),
]


class Shares(NamedTuple):
    """Weights of the three parts of a loss: of the labels, of the softened scores, of what the technique adds to them,
    which has weights of its own."""

    labels: float
    logits: float
    own: float


def check_some_weight(**weights: float) -> None:
    """
    Raises:
        ValueError: all of them are zero, so that nothing would be learnt.
    """
    if not any(weights.values()):
        raise ValueError(f"{', '.join(weights)} are all 0, so nothing would be learnt; set one of them above 0")


class Teaching(Step, TrainingOptions):
    """A step that trains a student to be like its teachers."""

    needs: ClassVar[frozenset[Need]] = frozenset({"training_data", "teacher"})
    changes: ClassVar[frozenset[Change]] = frozenset({"values", "shapes"})

    teacher: OneOrSeveral = Field(
        "baseline",
        description="The model that was uploaded for this job, the id of another one, or several with their weights.",
    )
    student: Student | None = Field(
        None,
        description="What is trained and goes on in the job: null is the model as the steps before left it; else the "
        "id of a model, an architecture with fresh weights, or a part of the first teacher.",
    )
    cache: Literal["auto"] | bool = Field(
        "auto",
        description="Ask the teachers once for each sample and keep the answers: auto does so where no augmentation "
        "changes the samples, there are several epochs and the answers take at most 8 GiB.",
    )
    unlabelled: DatasetId | None = Field(
        None, description="A dataset whose training inputs are learnt from as well, without labels."
    )
    temperature: float = Field(
        4.0,
        gt=0,
        le=100,
        description="Divisor of both logits before softmax; of no effect where outputs are no scores of classes.",
    )
    hard_label_weight: float = Field(
        0.1, ge=0, le=1, description="Weight of the task's loss with the labels; the rest goes to the teacher."
    )

    def teachers(self) -> dict[str, WeightedTeacher]:
        """Each by its place in the step."""
        if isinstance(self.teacher, str):
            return {"teacher": WeightedTeacher(model=self.teacher)}
        return {f"teacher/{index}/model": each for index, each in enumerate(self.teacher)}

    def models(self) -> Mapping[str, ModelId]:
        named = {place: each.model for place, each in self.teachers().items() if each.model != "baseline"}
        return {**named, "student": self.student} if isinstance(self.student, str) else named

    def datasets(self) -> Mapping[str, DatasetId]:
        return {} if self.unlabelled is None else {"unlabelled": self.unlabelled}

    def shares(self) -> Shares:
        return Shares(self.hard_label_weight, 1 - self.hard_label_weight, 0.0)

    def matched(self, classes: bool) -> str:
        """What the student learns to give, in words."""
        return f"scores softened by {self.temperature:g}" if classes else "outputs"

    def mismatches(
        self, student: ModelFacts, teachers: Mapping[str, ModelFacts], classes: bool, built: bool = True
    ) -> Iterator[Refusal]:
        """What keeps this student from learning of these teachers, named by their places. ``built`` is false where
        the student's blocks and layers are not known yet, but only its ends."""
        for place, teacher in teachers.items():
            if problem := teacher_problem(teacher, student):
                yield Refusal.of(problem, place)

    def outlook(self, given: Given) -> Outlook:
        found = {place: given.named(each.model) for place, each in self.teachers().items()}
        learner = pupil(self.student, given, next(iter(found.values())))
        samples, asked = self._samples(given), len(found)
        passes = 1 if self.cache is True or (self.cache == "auto" and not given.augmentation) else self.epochs
        facts, made = learner.facts or given.model, self.student is not None
        return Outlook(
            does=f"Trains {learner.said} to give the {self.matched(given.classes)} of {self._taught_by()}, "
            f"for {self.foreseen(samples)}.",
            touched=tuple(layer.name for layer in facts.layers),
            model=learner.facts if made else None,
            parameters=learner.facts.parameters if made and learner.facts else None,
            macs=learner.facts.macs if made and learner.facts else None,
            trained=self.epochs * (samples or 0),
            run=passes * asked * (samples or 0),
            batch=self.together(samples),
            refusals=tuple(self._refusals(given, learner, found)),
            notes=(*learner.notes, *self._notes(given)),
        )

    def _notes(self, given: Given) -> Iterator[str]:
        if self.student is None and given.untouched():
            (first, *more) = self.teachers().values()
            if not more and first.model in ("baseline", given.own):
                yield TAUGHT_BY_ITSELF

    def _taught_by(self) -> str:
        names = [each.model for each in self.teachers().values()]
        return f"the teacher ({names[0]})" if len(names) == 1 else f"{len(names)} teachers ({', '.join(names)})"

    def _samples(self, given: Given) -> int | None:
        more = given.datasets.get(self.unlabelled) if self.unlabelled else None
        train = split_of(more, "train") if more else None
        return None if given.samples is None else given.samples + (train.samples if train else 0)

    def _refusals(self, given: Given, learner: Pupil, found: Mapping[str, ModelFacts | None]) -> Iterator[Refusal]:
        yield from learner.refusals
        if self.cache is True and given.augmentation:
            yield augmented_cache()
        if self.unlabelled and given.mixes():
            yield mixed_labels()
        teachers = {place: facts for place, facts in found.items() if facts is not None}
        fits = learner.facts is not None and not learner.refusals
        student = learner.facts if fits and learner.facts else given.model
        yield from self.mismatches(student, teachers, given.classes, fits)
        yield from self._of_unlabelled(given)

    def _of_unlabelled(self, given: Given) -> Iterator[Refusal]:
        facts = given.datasets.get(self.unlabelled) if self.unlabelled else None
        if facts is None:
            return
        if split_of(facts, "train") is None:
            yield no_training_split()
        bare = tuple(split.model_copy(update={"labelled": False}) for split in facts.splits)
        for problem in data_problems(facts.model_copy(update={"splits": bare}), given.model, None):
            yield Refusal.of(problem, "unlabelled")


class FeatureTeaching(Teaching):
    """A distillation that adds something to that of softened scores. ``sees_softened``: what it adds is of them too."""

    sees_softened: ClassVar[bool] = False

    logits_weight: float = Field(
        0.9, ge=0, le=100, description="Weight of the distillation of softened scores beside it; 0 is without."
    )
    hard_label_weight: float = Field(
        0.1, ge=0, le=100, description="Weight of the task's loss with the labels, where there are labels."
    )

    @model_validator(mode="after")
    def _softens(self) -> Self:
        if self.logits_weight == 0 and not self.sees_softened:
            refuse_idle(self, "logits_weight is 0", "set logits_weight above 0", "temperature")
        return self

    def shares(self) -> Shares:
        return Shares(self.hard_label_weight, self.logits_weight, 1.0)

    def mismatches(
        self, student: ModelFacts, teachers: Mapping[str, ModelFacts], classes: bool, built: bool = True
    ) -> Iterator[Refusal]:
        yield from super().mismatches(student, teachers, classes, built)
        for place, teacher in teachers.items():
            if not teacher.trainable:
                yield no_layers(place)


class HintTeaching(FeatureTeaching):
    """One that compares features at named places."""

    hints: tuple[HintPair, ...] = Field(
        (),
        max_length=64,
        description="Places whose features are compared, as GET /v1/models/{id} lists them under hints; empty chooses "
        "up to three pairs of the same size or the same relative depth.",
    )

    def pairs(self, student: ModelFacts, teacher: ModelFacts) -> Pairs:
        """The places that are compared; the named ones exist."""
        return paired(student, teacher, self.hints)

    def mismatches(
        self, student: ModelFacts, teachers: Mapping[str, ModelFacts], classes: bool, built: bool = True
    ) -> Iterator[Refusal]:
        yield from super().mismatches(student, teachers, classes, built)
        able = {place: teacher for place, teacher in teachers.items() if teacher.trainable}
        wrong = tuple(unknown_places(student if built else None, able.values(), self.hints))
        yield from wrong
        if built and not wrong:
            for place, teacher in able.items():
                yield from self.unpaired(place, self.pairs(student, teacher))

    def unpaired(self, place: str, pairs: Pairs) -> Iterator[Refusal]:
        """What speaks against these pairs."""
        if not pairs:
            yield Refusal(reason="no places of student and teacher suit one another", way_out=BY_NAME, field=place)
        for each in (each for pair in pairs for each in pair):
            if each.shape[each.channels] is None:
                reason = f"the features of {each.name} have no fixed number of channels"
                yield Refusal(reason=reason, way_out="name another place", field="hints")


TAUGHT_BY_ITSELF = (
    "No step before this one changed the model, so it would be taught by itself: name another teacher or a student, or "
    "put a step that changes the model before this one."
)
BY_NAME = "name them with hints, or use distill.logits"


def no_layers(place: str) -> Refusal:
    reason = "an ONNX file has no layers whose features could be compared"
    return Refusal(reason=reason, way_out="send its source model as .pt2, or use distill.logits", field=place)


def augmented_cache() -> Refusal:
    reason = "cache is true, and augmentation changes the samples in every epoch"
    return Refusal(reason=reason, way_out="set cache to auto, or leave the augmentation out", field="cache")


def no_training_split() -> Refusal:
    return Refusal(reason="the unlabelled dataset has no training split", way_out="add one", field="unlabelled")


def mixed_labels() -> Refusal:
    reason = "mixup and cutmix mix labels, which the unlabelled samples have not"
    return Refusal(reason=reason, way_out="leave the mixing out", field="unlabelled")


def no_classes(kind: str, outputs: Sequence[int | None], classes: bool) -> Iterator[Refusal]:
    """A refusal for a technique that is about classes, where there are none."""
    if not classes or len(outputs) != 2 or (outputs[1] or 0) < 2:
        reason = f"{kind} is about classes, and the first output holds no scores of classes"
        yield Refusal(reason=reason, way_out="use distill.logits")
