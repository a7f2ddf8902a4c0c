"""A plan says of the merge family what the engine does: the same refusals, and the facts of the model after it."""

import copy
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from torch import nn

from engine.intake.facts import Origin, describe
from engine.model import Model
from pith.errors import PithError
from pith.facts import ModelFacts
from pith.outlook import Given, Outlook
from pith.recipe import AnyStep
from tests.engine.conformance import opened
from tests.engine.merge.jobs import PEERS, applied, context
from tests.engine.merge.test_sequential import Cleaner
from tests.engine.test_plan import planned
from tests.engine.tiny import (
    MODEL_ID,
    Cnn,
    Mlp,
    Regression,
    Tokens,
    Transformer,
    TwoHeads,
    job_folder,
    lifted,
)

WEIGHTS = ("merge.average", "merge.slerp", "merge.ties", "merge.task_arithmetic")
ENSEMBLES = ("merge.weighted", "merge.vote", "merge.gated")


def facts(model: Model) -> ModelFacts:
    return describe(copy.deepcopy(model), Origin("pt2"))


def outlook(kind: str, net: type[nn.Module], *peers: type[nn.Module] | None, **options: Any) -> Outlook:
    """What the step foresees; None is a model that came as ONNX."""
    step = TypeAdapter(AnyStep).validate_python({"kind": kind, "peers": list(PEERS[: len(peers)]), **options})
    others = {
        name: facts(lifted(peer or net, 1)).model_copy(update={"trainable": peer is not None})
        for name, peer in zip(PEERS, peers, strict=False)
    }
    mine = facts(lifted(net))
    found: Outlook = step.outlook(Given(model=mine, baseline=mine, others=others))
    return found


@pytest.mark.parametrize("kind", [*WEIGHTS, *ENSEMBLES])
def test_what_fits_is_not_refused(kind: str) -> None:
    found = outlook(kind, Cnn, Cnn)
    assert found.refusals == () and found.does.endswith(".")


@pytest.mark.parametrize(
    ("kind", "net", "peer"),
    [
        *((kind, Cnn, Transformer) for kind in WEIGHTS),
        *((kind, Mlp, Tokens) for kind in ENSEMBLES),
        *((kind, Mlp, Regression) for kind in ENSEMBLES),
        *((kind, Cnn, TwoHeads) for kind in ENSEMBLES),
        ("merge.sequential", Cnn, Cnn),
    ],
)
def test_a_plan_refuses_what_the_engine_refuses(
    kind: str, net: type[nn.Module], peer: type[nn.Module], tmp_path: Path
) -> None:
    refused = outlook(kind, net, peer).refusals
    assert [(each.field, each.error(0, kind).code) for each in refused] == [("peers/0", "merge_mismatch")]
    with pytest.raises(PithError, match="merge_mismatch") as caught:
        applied(context(tmp_path, kind, net, (peer, 1)))
    if kind not in WEIGHTS:  # a plan knows layers, the engine tensors
        assert caught.value.problem.detail == refused[0].error(0, kind).problem.detail


@pytest.mark.parametrize("kind", [*WEIGHTS, *ENSEMBLES, "merge.sequential"])
def test_an_onnx_model_is_refused_with_the_way_out(kind: str) -> None:
    (refused,) = outlook(kind, Cnn, None).refusals
    assert refused.field == "peers/0" and "ONNX" in refused.reason and ".pt2" in refused.way_out


def test_a_layer_that_differs_is_named_with_both_shapes() -> None:
    (refused,) = outlook("merge.average", Cnn, Mlp).refusals
    said = refused.error(0, "merge.average").problem.detail
    assert "stem.0 is missing" in said and "Conv2d (16, 1, 3, 3)" in said


def test_numbers_are_not_voted_on() -> None:
    (refused,) = outlook("merge.vote", Regression, Regression).refusals
    assert "(any, 1)" in refused.reason and refused.way_out == "use merge.weighted"


@pytest.mark.parametrize(
    ("kind", "net", "peer"),
    [("merge.weighted", Cnn, Transformer), ("merge.vote", TwoHeads, TwoHeads), ("merge.sequential", Cleaner, Mlp)],
)
def test_the_model_after_it_is_foreseen(kind: str, net: type[nn.Module], peer: type[nn.Module], tmp_path: Path) -> None:
    foreseen = outlook(kind, net, peer).model
    after = facts(applied(context(tmp_path, kind, net, (peer, 1))))
    assert foreseen is not None
    for what in ("inputs", "parameters", "macs"):
        assert getattr(foreseen, what) == getattr(after, what), what
    assert [tensor.shape for tensor in foreseen.outputs] == [tensor.shape for tensor in after.outputs]
    shapes = [{layer.name: (layer.kind, layer.shape) for layer in each.layers} for each in (foreseen, after)]
    assert shapes[0] == shapes[1]
    assert {hint.name for hint in foreseen.hints} <= {hint.name for hint in after.hints}


@pytest.mark.parametrize(("weights", "left"), [([2, 1, 0], (Cnn, Transformer)), ([0, 1, 1], (Transformer, Mlp))])
def test_members_without_weight_are_not_counted(
    weights: list[float], left: tuple[type[nn.Module], ...], tmp_path: Path
) -> None:
    found = outlook("merge.weighted", Cnn, Transformer, Mlp, weights=weights)
    after = facts(applied(context(tmp_path, "merge.weighted", Cnn, (Transformer, 1), (Mlp, 2), weights=weights)))
    assert (found.parameters, found.macs) == (after.parameters, after.macs)
    assert found.parameters == sum(facts(lifted(net)).parameters for net in left)
    assert found.model is not None and {layer.name for layer in found.model.layers} == {
        layer.name for layer in after.layers
    }
    assert found.notes == ("All 2 members run for every sample.",)
    out = "the step's own model" if weights[0] == 0 else PEERS[1]
    assert found.does == (
        f"Makes one model of 2 whose probabilities are averaged; left out, with a weight of 0: {out}."
    )


def test_one_member_alone_is_no_ensemble() -> None:
    found = outlook("merge.weighted", Cnn, Transformer, weights=[1, 0])
    assert found.does.startswith("Makes one model of one member alone; left out") and found.notes == ()
    assert found.parameters == facts(lifted(Cnn)).parameters


@pytest.mark.parametrize("kind", [*WEIGHTS, *ENSEMBLES])
@pytest.mark.parametrize("peer", ["baseline", MODEL_ID])
def test_the_job_s_own_model_is_no_peer_of_itself(kind: str, peer: str, tmp_path: Path) -> None:
    (refused,) = planned(Mlp, [{"kind": kind, "peers": [peer]}]).problems
    assert refused.errors[0].pointer == "/recipe/0/peers/0" and "would be merged with itself" in refused.detail
    assert ("is the job's own model: " in refused.detail) == (peer == MODEL_ID)
    with pytest.raises(PithError) as caught:
        applied(opened(job_folder(tmp_path, [{"kind": kind, "peers": [peer]}], net=Mlp)))
    assert caught.value.problem.detail == refused.detail


def test_the_baseline_is_named_once_once_the_model_is_another_one() -> None:
    train = {"kind": "finetune.full"}
    assert planned(Mlp, [train, {"kind": "merge.average", "peers": [MODEL_ID]}]).possible
    (refused,) = planned(Mlp, [train, {"kind": "merge.average", "peers": ["baseline", MODEL_ID]}]).problems
    assert refused.errors[0].pointer == "/recipe/1/peers/1" and "named as baseline too" in refused.detail


def test_a_peer_that_is_not_known_yet_leaves_the_model_open() -> None:
    step = TypeAdapter(AnyStep).validate_python({"kind": "merge.weighted", "peers": [PEERS[0]]})
    mine = facts(lifted(Mlp))
    found = step.outlook(Given(model=mine, baseline=mine))
    assert found.model is None and found.refusals == ()


def test_the_greedy_soup_asks_for_labels() -> None:
    adapter = TypeAdapter(AnyStep)
    uniform, greedy = (
        adapter.validate_python({"kind": "merge.average", "peers": [PEERS[0]], "method": method})
        for method in ("uniform", "greedy")
    )
    assert uniform.required() == {"peers"} and greedy.required() == {"peers", "training_data", "labels"}


def test_the_baseline_may_be_a_peer(tmp_path: Path) -> None:
    step = TypeAdapter(AnyStep).validate_python({"kind": "merge.slerp", "peers": ["baseline"]})
    before = facts(lifted(Cnn))
    trained = before.model_copy()
    assert step.models() == {} and step.outlook(Given(model=trained, baseline=before)).refusals == ()
    narrower = before.model_copy(update={"layers": before.layers[1:]})
    assert [each.field for each in step.outlook(Given(model=narrower, baseline=before)).refusals] == ["peers/0"]
