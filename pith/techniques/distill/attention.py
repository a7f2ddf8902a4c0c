"""``distill.attention``."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pith.facts import ModelFacts
from pith.idle import refuse_idle
from pith.outlook import Refusal
from pith.places import Pairs, Place
from pith.teaching import BY_NAME, HintTeaching

Maps = Literal["auto", "features", "probabilities"]


class DistillAttention(HintTeaching):
    """Train the model to look where the teacher looks.

    Of features: the sum of the squared channels at every place, normalised. Of transformers: the probabilities with
    which tokens attend to one another, averaged over the heads, of which there may be different numbers.
    """

    paper: ClassVar[str] = (
        "Zagoruyko and Komodakis 2016, arXiv 1612.03928; probabilities: Jiao et al. 2019, arXiv 1909.10351 (TinyBERT), "
        "Wang et al. 2020, arXiv 2002.10957 (MiniLM)"
    )
    limits: ClassVar[str] = "Features need places, of pictures or of tokens; vectors have none."

    kind: Literal["distill.attention"] = "distill.attention"
    maps: Maps = Field(
        "auto",
        description="What is compared: maps of features, or probabilities of attention layers; auto takes the latter "
        "where both models have such layers and no hints are named.",
    )
    weight: float = Field(
        1000.0,
        gt=0,
        le=1e6,
        description="Weight of the maps of features in the loss, as in the paper's code; lower it, such as to 50, "
        "where the student learns worse than by distill.logits.",
    )
    probabilities_weight: float = Field(1.0, gt=0, le=1e6, description="The same of the probabilities.")

    @model_validator(mode="after")
    def _compares(self) -> Self:
        if self.maps == "probabilities":
            refuse_idle(self, "maps is probabilities", "set maps to features", "hints", "weight")
        elif self.maps == "features" or self.hints:
            why = "maps is features" if self.maps == "features" else "hints name features"
            refuse_idle(self, why, "set maps to probabilities, without hints", "probabilities_weight")
        return self

    def matched(self, classes: bool) -> str:
        return "attention and " + super().matched(classes)

    def probabilities(self, student: ModelFacts, teacher: ModelFacts) -> bool:
        """Whether it is probabilities that are compared."""
        able = student.attentions > 0 and teacher.attentions > 0
        return self.maps == "probabilities" or (self.maps == "auto" and able and not self.hints)

    def mismatches(
        self, student: ModelFacts, teachers: Mapping[str, ModelFacts], classes: bool, built: bool = True
    ) -> Iterator[Refusal]:
        able = {place: teacher for place, teacher in teachers.items() if teacher.trainable}
        attending = {place for place, teacher in able.items() if self.probabilities(student, teacher)}
        features = {place: teacher for place, teacher in teachers.items() if place not in attending}
        yield from super().mismatches(student, features, classes, built)
        for place in sorted(attending):
            yield from super(HintTeaching, self).mismatches(student, {place: able[place]}, classes, built)
            if able[place].attentions == 0 or (built and student.attentions == 0):
                who = "teacher" if able[place].attentions == 0 else "student"
                reason = f"maps is probabilities, and the {who} has no attention layer"
                yield Refusal(reason=reason, way_out="set maps to features", field="maps")

    def unpaired(self, place: str, pairs: Pairs) -> Iterator[Refusal]:
        if not pairs:
            yield from super().unpaired(place, pairs)
        for mine, theirs in pairs:
            if not mine.sizes or not theirs.sizes:
                flat = mine if not mine.sizes else theirs
                yield Refusal(reason=f"features of {flat.name} are vectors, without places", way_out=BY_NAME)
            elif len(mine.sizes) != len(theirs.sizes):
                yield Refusal(reason=f"places of {_said(mine)} are not those of {_said(theirs)}", way_out=BY_NAME)


def _said(place: Place) -> str:
    return f"{place.name} ({'tokens' if len(place.sizes) == 1 else 'pictures'})"
