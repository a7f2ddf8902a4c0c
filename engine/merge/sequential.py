"""Models one behind another in one graph: the outputs of each are the inputs of the next."""

from engine.context import Context
from engine.merge.compose import Composition
from engine.merge.ensemble import ends, refuse
from engine.merge.weights import peers
from engine.model import Model
from pith.peers import behind
from pith.techniques.merge.sequential import MergeSequential


def apply(model: Model, config: MergeSequential, ctx: Context) -> Model:
    found = peers(config, ctx)
    before = model
    for name, member in found.items():
        refuse(behind("", name, ends(member), ends(before)), ctx)
        before = member
    return one_behind_another([model, *found.values()])


def one_behind_another(members: list[Model]) -> Model:
    """One model of all, with the first one's inputs and the last one's outputs."""
    whole = Composition(members[0].signature.inputs)
    values = whole.inputs
    for index, member in enumerate(members):
        values = whole.add(f"member{index}", member, values[: len(member.signature.inputs)])
    return whole.finish(values, members[-1].signature.outputs)
