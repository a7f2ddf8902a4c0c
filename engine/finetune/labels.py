"""How many outputs a head needs for the labels of the job's dataset."""

from engine.context import Context
from pith.dataset import DatasetFacts
from pith.rehead import classes_problem, labelled_outputs


def outputs_for(asked: int | None, ctx: Context) -> int:
    """As many as were asked for, or as the labels need.

    Raises:
        PithError: ``technique_inapplicable`` for labels that have no output among so many.
    """
    facts = DatasetFacts.model_validate_json(ctx.folder.input("dataset.json").read_bytes())
    problem = classes_problem(asked, facts)
    if problem is not None:
        raise ctx.inapplicable(problem, "set classes to that or leave it out")
    count = asked or labelled_outputs(facts)
    if count is None:
        raise ctx.inapplicable("the shape of the targets is not known", "set classes to the numbers in one of them")
    return count
