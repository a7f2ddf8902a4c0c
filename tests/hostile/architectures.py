"""Architectures by name whose name or arguments reach for files, addresses, attributes, or more than there is."""

from typing import Any

from tests.hostile.case import Hostile

REFUSED, UNKNOWN, LARGE = "architecture_refused", "architecture_unknown", "model_too_large"
MALFORMED = "malformed_request"


def named(what: str, name: str, codes: tuple[str, ...], door: Any = None, **arguments: Any) -> Hostile:
    described = {"name": name, "arguments": arguments}
    return Hostile(f"architecture: {what}", "model", "", None, codes, architecture=described, at_the_door=door)


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


RESNET, MLP = "timm/resnet18", "pith/mlp"
ARCHITECTURES: list[Hostile] = [
    named("pretrained weights", RESNET, (REFUSED,), pretrained=True),
    named("a checkpoint's path", RESNET, (REFUSED,), checkpoint_path="/etc/passwd"),
    named("an address for weights", RESNET, (REFUSED,), pretrained_cfg={"url": "http://127.0.0.1/evil.pth"}),
    named("an address in an overlay", RESNET, (REFUSED,), pretrained_cfg_overlay={"file": "/tmp/evil.pth"}),
    named("torchvision's weights", "torchvision/resnet18", (REFUSED,), weights="DEFAULT"),
    named("a backbone's weights", "torchvision/resnet18", (REFUSED,), weights_backbone="DEFAULT"),
    named("code from a repository", "transformers/BertModel", (REFUSED,), trust_remote_code=True),
    named("attention from a repository", "transformers/BertModel", (REFUSED,), attn_implementation="somebody/evil"),
    named("an activation by a path", "transformers/BertModel", (REFUSED,), hidden_act="os.system"),
    named("a thousand million classes", RESNET, (REFUSED, LARGE), num_classes=1_000_000_000),
    named(
        "ten million hidden units, four times", MLP, (LARGE, REFUSED), in_features=4, out_features=2, hidden=[10**7] * 4
    ),
    named("ten million blocks", "pith/ds_cnn", (LARGE, REFUSED), blocks=10_000_000),
    named("a million layers", "transformers/BertModel", (LARGE, REFUSED), num_hidden_layers=1_000_000, hidden_size=12),
    named("classes below zero", "torchvision/resnet18", (REFUSED,), num_classes=-5),
    named("a width below zero", MLP, (REFUSED,), in_features=-4, out_features=2),
    named("nested arguments", MLP, (REFUSED,), MALFORMED, in_features=4, out_features=2, hidden=deep(60)),
    named("a list of a million numbers", MLP, (REFUSED,), in_features=4, out_features=2, hidden=[1] * 100_000),
    named("attributes as arguments", MLP, (REFUSED,), __class__="os", __init__=1),
    named("code as an argument", MLP, (REFUSED,), in_features="__import__('os').system('true')", out_features=2),
    named("an argument's name that is code", MLP, (REFUSED,), **{"x); import os; (": True}),
    named("a text where a number belongs", MLP, (REFUSED,), in_features="4", out_features=2),
    named("a dropout of seven", MLP, (REFUSED,), in_features=4, out_features=2, dropout=7.0),
    named("a name with dots", "timm/os.system", (UNKNOWN,)),
    named("a name that goes up", "timm/..", (UNKNOWN,)),
    named("a hub's name", "timm/hf-hub.evil", (UNKNOWN,)),
    named("a name with slashes", "timm/../../etc/passwd", (UNKNOWN,), MALFORMED),
    named("a name with underscores", "pith/__class__", (UNKNOWN,)),
    named("a class off the list", "transformers/Trainer", (UNKNOWN,)),
    named("a pipeline", "transformers/pipeline", (UNKNOWN,)),
    named("a module of torchvision", "torchvision/datasets.folder", (UNKNOWN,)),
    named("another library", "os/system", (UNKNOWN,), MALFORMED),
]
