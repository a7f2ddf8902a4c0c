"""Every technique of the contract through the conformance suite, on models of every kind of end."""

from pathlib import Path

import pytest
from torch import nn

from engine.registry import technique
from pith.recipe import step_classes
from tests.engine.conformance import check
from tests.engine.tiny import Cnn, Mlp, Regression, Tokens, Transformer, TwoHeads


@pytest.mark.parametrize("net", [Cnn, Mlp, Transformer, Tokens, TwoHeads, Regression])
@pytest.mark.parametrize("kind", sorted(step_classes()))
def test_technique_conforms(kind: str, net: type[nn.Module], tmp_path: Path) -> None:
    check(kind, tmp_path, net)


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
