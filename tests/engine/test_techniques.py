"""Every technique of the contract through the conformance suite, on a CNN, an MLP and a transformer.

``test_plan`` runs them on models of other ends, where what is foreseen is what happens.
"""

from pathlib import Path

import pytest

from engine.registry import technique
from pith.errors import PithError
from pith.recipe import step_classes
from tests.engine.conformance import applied, check, check_same, cut_and_resumed, least
from tests.engine.tiny import Cnn, Mlp, Transformer

NETS = {net.__name__: net for net in (Cnn, Mlp, Transformer)}
# Networks that are none for a technique, each with what it says; every other one must go through.
NONE_FOR: dict[str, dict[str, str]] = {
    "distill.attention": {"Mlp": "are vectors, without places"},
    "prune.head": dict.fromkeys(("Cnn", "Mlp"), "the model has no attention"),
    "prune.layer": {"Mlp": "no block that may be removed"},
}
TRAINING = [
    kind for kind, cls in step_classes().items() if "training_data" in cls.model_validate(least(kind)).required()
]


def _first(kind: str) -> str:
    """The first network that is one for this technique."""
    return next(name for name in NETS if name not in NONE_FOR.get(kind, {}))


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("kind", sorted(step_classes()))
def test_technique_conforms(kind: str, net: str, tmp_path: Path) -> None:
    reason = NONE_FOR.get(kind, {}).get(net)
    if reason is None:
        check(kind, tmp_path, NETS[net], twice=net == _first(kind))
        return
    with pytest.raises(PithError) as refused:
        check(kind, tmp_path, NETS[net], twice=False)
    assert reason in refused.value.problem.detail


@pytest.mark.parametrize("kind", TRAINING)
def test_a_technique_that_is_cut_off_ends_with_the_same_bits(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = NETS[_first(kind)]
    small = {"batch_size": 32} if "batch_size" in step_classes()[kind].model_fields else {}
    _, whole = applied(kind, tmp_path / "whole", net, **small)
    resumed, cuts = cut_and_resumed(kind, tmp_path / "cut", net, monkeypatch, **small)
    assert cuts == 2
    check_same(whole, resumed)


def test_no_technique_is_for_none() -> None:
    assert all(set(refused) < set(NETS) for refused in NONE_FOR.values())


def test_every_kind_is_a_module_and_every_module_a_kind() -> None:
    engine = Path(technique("finetune.full").__code__.co_filename).parents[1]
    families = {kind.split(".")[0] for kind in step_classes()}
    modules = {
        f"{family}.{path.stem}"
        for family in families
        for path in (engine / family).glob("*.py")
        if "def apply(model: Model" in path.read_text()
    }
    assert modules == set(step_classes())


def test_only_kinds_of_the_contract_are_ever_imported() -> None:
    with pytest.raises(KeyError):
        technique("os.path")
