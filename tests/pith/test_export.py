"""`pith.export` with real torch: what it writes the engine reads, and what it refuses it explains."""

import logging
import re
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from engine.model import read_model
from pith import specialized
from pith.cli.root import cli
from pith.errors import PithError
from pith.export import export, usable_torch


class Net(nn.Module):
    """Batch norm and dropout: different in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.dropout(self.norm(self.conv(x)).mean((2, 3))))
        return out


class Two(nn.Module):
    """Token numbers and a mask, by keyword; a dict comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        x = self.table(ids)
        x = x if mask is None else x * mask.unsqueeze(-1)
        return {"scores": self.head(x.mean(1)), "states": x}


@dataclass
class Output:
    """As the output classes of transformers: what was not asked for is None."""

    loss: Tensor | None
    logits: Tensor
    hidden: tuple[Tensor, ...]


class Classy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Output:
        return Output(None, self.head(x), (x, x + 1))


class Returns(nn.Module):
    """One layer and whatever the function makes of its output."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.layer, self.make = nn.Linear(3, 3), make

    def forward(self, x: Tensor) -> Any:
        return self.make(self.layer(x))


IMAGE = torch.linspace(-1, 1, 128).reshape(2, 1, 8, 8)
IDS = {"ids": torch.arange(12).reshape(2, 6) % 10, "mask": torch.ones(2, 6)}
ROWS = torch.linspace(-1, 1, 6).reshape(2, 3)


def lifted(path: Path, scratch: Path, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    scratch.mkdir(exist_ok=True)
    with torch.no_grad():
        return read_model(path, scratch).run(inputs)


def fresh(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind().eval()


def test_the_engine_reads_it_with_a_difference_of_0(tmp_path: Path) -> None:
    net, x = fresh(Net), torch.randn(5, 1, 8, 8)
    (given,) = lifted(export(net, IMAGE, tmp_path / "m.pt2"), tmp_path / "s", (x,))
    assert torch.equal(given, net(x))


def test_two_inputs_by_keyword_and_a_dict(tmp_path: Path) -> None:
    net = fresh(Two)
    longer = (torch.ones(4, 9, dtype=torch.int64), torch.rand(4, 9))
    given = lifted(export(net, IDS, tmp_path / "m.pt2", dynamic=(1,)), tmp_path / "s", longer)
    wanted = net(*longer)
    assert [torch.equal(one, other) for one, other in zip(given, wanted.values(), strict=True)] == [True, True]
    assert [spec.name for spec in read_model(tmp_path / "m.pt2", tmp_path / "s").signature.outputs] == [*wanted]


def test_two_inputs_in_order(tmp_path: Path) -> None:
    net, inputs = fresh(Two), tuple(IDS.values())
    given = lifted(export(net, inputs, tmp_path / "m.pt2"), tmp_path / "s", inputs)
    assert torch.equal(given[0], net(*inputs)["scores"])


def test_output_classes_become_plain(tmp_path: Path) -> None:
    net, x = fresh(Classy), torch.randn(3, 5)
    given = lifted(export(net, x, tmp_path / "m.pt2"), tmp_path / "s", (x,))
    assert [each.tolist() for each in given] == [net(x).logits.tolist(), x.tolist(), (x + 1).tolist()]


def test_a_model_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    torch.manual_seed(0)
    net = transformers.BertForSequenceClassification(config).eval()
    ids = torch.randint(0, 20, (3, 6))
    mask = torch.ones_like(ids)
    path = export(net, {"input_ids": ids, "attention_mask": mask}, tmp_path / "m.pt2", dynamic=(1,))
    shorter = (ids[:2, :4], mask[:2, :4])
    (given,) = lifted(path, tmp_path / "s", shorter)
    with torch.no_grad():
        assert torch.allclose(given, net(*shorter).logits, atol=1e-6)


def test_the_module_stays_as_it_was(tmp_path: Path) -> None:
    net = fresh(Net).train()
    assert isinstance(net, Net)
    net.norm.eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    x = torch.randn(2, 1, 8, 8)
    (given,) = lifted(export(net, IMAGE, tmp_path / "m.pt2"), tmp_path / "s", (x,))
    assert [module.training for module in (net, net.norm, net.dropout)] == [True, False, True]
    assert "forward" not in vars(net)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert torch.equal(given, net.eval()(x))


def test_one_sample_is_no_constant(tmp_path: Path) -> None:
    net, x = fresh(Net), torch.randn(7, 1, 8, 8)
    (given,) = lifted(export(net, IMAGE[:1], tmp_path / "m.pt2"), tmp_path / "s", (x,))
    assert torch.equal(given, net(x))


def _branch(x: Tensor) -> Tensor:
    return x if x.sum() > 0 else -x


def _random(x: Tensor) -> Tensor:
    return nn.functional.dropout(x, training=True)


REFUSED = {
    "batch in a reshape": (
        Returns(lambda x: x.reshape(2, -1)),
        ROWS,
        r"the batch became a constant \(2\) at test_export",
    ),
    "batch in a constant": (Returns(lambda x: x + torch.zeros(2, 3)), ROWS, r"batch became .*test_export.py:\d+ \("),
    "control flow": (Returns(_branch), ROWS, r"values of the data decide .* at test_export.py:\d+ \(.*x.sum\(\) > 0"),
    "text": (Returns(lambda x: (x, "text")), ROWS, r"the output 1 is no tensor but a str"),
    "nothing": (Returns(lambda x: None), ROWS, r"the output is no tensor but nothing"),
    "in a dict": (Returns(lambda x: {"a": {"b": 3}}), ROWS, r"the output a.b is no tensor but a int"),
    "no batch": (Returns(lambda x: x.sum()), ROWS, r"output 0 has the shape \(\) for 3 samples"),
    "random": (Returns(_random), ROWS, r"differs from the module's"),
    "raises": (
        Returns(lambda x: x @ torch.zeros(5, 5)),
        ROWS,
        r"does not run on inputs of the shape \(2, 3\), .*RuntimeError: .* at test_export.py:\d+.*check the example",
    ),
    "half": (nn.Linear(3, 3).half(), ROWS, r"weight is float16.*model.float\(\)"),
    "double input": (nn.Linear(3, 3), ROWS.double(), r"an example input is float64.*example.float\(\)"),
    "elsewhere": (nn.Linear(3, 3, device="meta"), ROWS, r"weight is on meta; call model.cpu\(\)"),
    "no module": (lambda x: x, ROWS, r"the model is a function; give a torch.nn.Module"),
    "no tensor": (nn.Linear(3, 3), ("a",), r"hold no tensor"),
    "two batches": (nn.Bilinear(3, 3, 3), (ROWS, ROWS[:1]), r"shapes \(2, 3\), \(1, 3\)"),
    "scalar": (nn.Linear(3, 3), torch.tensor(1.0), r"shapes \(\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_and_why(name: str, tmp_path: Path) -> None:
    model, inputs, sentence = REFUSED[name]
    with pytest.raises(PithError, match=sentence) as refusal:
        export(model, inputs, tmp_path / "m.pt2")
    assert refusal.value.code == "export_refused"
    assert not list(tmp_path.iterdir())


def test_nothing_of_torch_is_printed_before_the_reason(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PithError, match="values of the data"):
        export(Returns(_branch), ROWS, tmp_path / "m.pt2")
    assert capfd.readouterr() == ("", "")


def test_what_the_module_says_itself_is_passed_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def loud(x: Tensor) -> Tensor:
        sys.stderr.write("traced\n")
        return x

    export(Returns(loud), ROWS, tmp_path / "m.pt2")
    assert capsys.readouterr().err.count("traced") >= 2  # in the trace, and where the graph is compared


def test_a_fixed_length_is_named(tmp_path: Path) -> None:
    with pytest.raises(PithError, match=r"dimension 1 became a constant \(3\)"):
        export(nn.Linear(3, 3).eval(), ROWS, tmp_path / "m.pt2", dynamic=(1,))


def test_the_log_of_torch_is_left_as_it_was() -> None:
    logger = logging.getLogger(specialized._LOGGER)
    before = (logger.handlers, logger.level, logger.propagate)
    assert specialized.specialized_at(torch, lambda: 1 / 0) == ""
    assert (logger.handlers, logger.level, logger.propagate) == before


def test_torch_is_missing_or_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    with pytest.raises(PithError, match=r"here torch is 2.9.1\+cpu; pip install"):
        usable_torch()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(PithError, match="here there is no torch") as missing:
        usable_torch()
    assert missing.value.code == "torch_unusable"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PithError, match="absent") as missing:
        export(nn.Linear(3, 3), ROWS, tmp_path / "absent" / "m.pt2")
    assert missing.value.code == "file_unreadable"


# ---- the command


NETS = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.layer = nn.Linear(5, width)
    def forward(self, x):
        return self.layer(x)

class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(2, 3)
    def forward(self, ids, mask):
        return (self.table(ids) * mask.unsqueeze(-1)).sum(1)

made = Small(4)

def broken():
    raise ValueError("no such thing")
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "nets_of_mine.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "nets_of_mine", raising=False)
    return lambda *words: CliRunner().invoke(cli, ["export", *words])


def outcome(result: Any) -> str:
    return f"{result.exception} {result.output}"


def test_the_command_writes_what_the_engine_reads(run: Any, tmp_path: Path) -> None:
    weights = {"layer.weight": torch.rand(3, 5), "layer.bias": torch.rand(3)}
    for name, saved in (
        ("plain", weights),
        ("wrapped", {"state_dict": {f"module.{k}": v for k, v in weights.items()}}),
    ):
        torch.save(saved, tmp_path / "w.pth")
        result = run("nets_of_mine:Small", "--input", "5", "--weights", "w.pth", "-o", f"{name}.pt2")
        assert result.exit_code == 0, outcome(result)
        x = torch.rand(7, 5)
        (given,) = lifted(tmp_path / f"{name}.pt2", tmp_path / "s", (x,))
        assert torch.equal(given, nn.functional.linear(x, weights["layer.weight"], weights["layer.bias"]))


def test_inputs_have_names_and_dtypes(run: Any, tmp_path: Path) -> None:
    words = ("--input", "ids=6:int64", "--input", "mask=6", "--dynamic", "1")
    result = run("nets_of_mine:Masked", *words)
    assert result.exit_code == 0, outcome(result)
    signature = read_model(tmp_path / "model.pt2", tmp_path).signature
    assert [(spec.name, spec.shape, spec.dtype) for spec in signature.inputs] == [
        ("ids", (None, None), torch.int64),
        ("mask", (None, None), torch.float32),
    ]


def test_an_object_that_is_a_module_already(run: Any, tmp_path: Path) -> None:
    assert run("nets_of_mine:made", "--input", "5").exit_code == 0
    assert read_model(tmp_path / "model.pt2", tmp_path).signature.outputs[0].shape == (None, 4)


WRONG = {
    "no factory": (("nets_of_mine",), "is no MODULE:FACTORY"),
    "no module": (("absent_module:f",), "importing absent_module raised ModuleNotFoundError"),
    "no attribute": (("nets_of_mine:absent",), "nets_of_mine has no absent"),
    "it raises": (("nets_of_mine:broken",), r"nets_of_mine:broken\(\) raised ValueError: no such thing"),
    "no shape": (("nets_of_mine:Small", "--input", "5x5"), "--input '5x5' is no shape"),
    "some names": (("nets_of_mine:Small", "--input", "x=5"), "name all inputs or none"),
    "no weights": (("nets_of_mine:Small", "--weights", "absent.pth"), "absent.pth' cannot be used: No such file"),
    "not weights": (("nets_of_mine:Small", "--weights", "nets_of_mine.py"), "cannot be read as weights"),
    "a whole module": (
        ("nets_of_mine:Small", "--weights", "whole.pth"),
        "cannot be read as weights .*nets_of_mine.Small",
    ),
    "another's weights": (("nets_of_mine:Small", "--weights", "other.pth"), "does not fit the module .*Missing"),
    "a list": (("nets_of_mine:Small", "--weights", "list.pth"), "holds a list"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_in_a_sentence(name: str, run: Any, tmp_path: Path) -> None:
    words, sentence = WRONG[name]
    torch.save({"elsewhere": torch.ones(2)}, "other.pth")
    torch.save([1], "list.pth")
    if name == "a whole module":
        sys.path.insert(0, str(tmp_path))
        torch.save(import_module("nets_of_mine").made, "whole.pth")
    result = run(*words, "--input", "5")
    assert result.exit_code != 0
    assert re.search(sentence, outcome(result).replace("\n", " ")), outcome(result)
    assert not (tmp_path / "model.pt2").exists()
