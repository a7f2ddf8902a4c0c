"""Which files of a repository are the model."""

import pytest

from pith.errors import PithError
from worker.imports.choose import choose

SHARDED = [
    "config.json",
    "model-1-of-2.safetensors",
    "model-2-of-2.safetensors",
    "model.safetensors.index.json",
]
FLAT = ["config.json", "tokenizer.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("paths", "chosen"),
    [
        ([*FLAT, "modeling.py", "README.md", "onnx/model.onnx", "pytorch_model.bin"], FLAT),
        (["config.json", "pytorch_model.bin", "evil.py"], ["config.json", "pytorch_model.bin"]),
        (SHARDED, SHARDED),
        (["config.json", "model-1-of-1.safetensors", "pytorch_model.bin"], ["config.json", "pytorch_model.bin"]),
        (["MLmodel", "conda.yaml", "data/model.pt2"], ["data/model.pt2"]),
        (["MLmodel", "requirements.txt", "model.onnx"], ["model.onnx"]),
        (["MLmodel", "model.onnx", "model.onnx.data"], ["model.onnx", "model.onnx.data"]),
        (["MLmodel", "data/model.pth", "data/pickle_module_info.txt"], ["data/model.pth"]),
        (["weights.safetensors"], ["weights.safetensors"]),
        (
            ["MLmodel", "components/tokenizer/tokenizer.json", "model/config.json", "model/model.safetensors"],
            ["components/tokenizer/tokenizer.json", "model/config.json", "model/model.safetensors"],
        ),
    ],
)  # fmt: skip
def test_the_model_is_found(paths: list[str], chosen: list[str]) -> None:
    found = choose(paths, "hf://owner/name")
    assert sorted(found) == sorted(chosen)
    assert all("/" not in name and not name.endswith(".py") for name in found.values())
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize(
    "paths", [[], ["README.md"], ["a.onnx", "b.onnx"], ["config.json"], ["python_model.pkl", "MLmodel"]]
)
def test_what_holds_no_model_is_refused(paths: list[str]) -> None:
    with pytest.raises(PithError, match=r"no one model is found in it .* one \.pt2, one \.onnx") as refusal:
        choose(paths, "hf://owner/name")
    assert refusal.value.code == "import_refused"
