"""8 bits on a CPU: ours, ONNX Runtime's own quantizers, NNCF and torchao, each file run by the same ONNX Runtime.

``python -m bench.quality.int8 [cifar|latency] [python-with-nncf]`` prints a table; weights are public ones for CIFAR,
and random with settled batch norms for the latencies, where quality is the ratio of signal to noise of the outputs.
torchao takes part where it is installed beside torch.
"""

import importlib.util
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import timm
import torch
import transformers
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from bench.quality.cifar import FILES, network, pictures
from engine.data.intake import stage_dataset
from engine.export import write_onnx
from engine.jobdir import EngineJob, JobDir
from engine.registry import technique
from engine.run import open_job
from engine.session import open_session, run_session
from pith.job import JobSpec

Arrays = tuple[NDArray[Any], ...]
Row = dict[str, Any]
IDS = {"model": "mdl_" + "0" * 26, "dataset": "dts_" + "0" * 26}
CALIBRATED = 256
VARIANTS: dict[str, dict[str, Any]] = {
    "minmax": {"calibration": "minmax", "equalize": False, "bias_correction": False},
    "percentile": {"calibration": "percentile", "equalize": False, "bias_correction": False},
    "entropy": {"calibration": "entropy", "equalize": False, "bias_correction": False},
    "mse": {"calibration": "mse", "equalize": False, "bias_correction": False},
    "mse + equalization": {"calibration": "mse", "equalize": True, "bias_correction": False},
    "mse + bias correction": {"calibration": "mse", "equalize": False, "bias_correction": True},
    "mse + both": {"calibration": "mse", "equalize": True, "bias_correction": True},
}


@dataclass(frozen=True)
class Subject:
    """A network with what it is calibrated and judged on; ``dynamic`` names the dimensions that are free."""

    name: str
    net: nn.Module
    calibration: Arrays
    test: Arrays
    labels: NDArray[np.int64] | None = None
    transformer: bool = False


def resnets() -> Iterator[Subject]:
    calibration, test = pictures("train", np.arange(0, 50_000, 100)), pictures("test")
    for depth in FILES:
        yield Subject(f"resnet{depth}", network(depth), (calibration[0],), (test[0],), test[1])


def settled(only: str) -> Iterator[Subject]:
    """Networks of the usual sizes with random weights."""
    options: dict[str, dict[str, Any]] = {"resnet18": {"zero_init_last": False}}
    for name in ("resnet18", "mobilenetv3_large_100", "vit_tiny_patch16_224"):
        if only not in name:
            continue
        torch.manual_seed(0)
        net = timm.create_model(name, pretrained=False, **options.get(name, {}))
        with torch.no_grad():
            for _ in range(3):
                net.train()(_pictures(12))
        x = _pictures(48).numpy()
        yield Subject(name, net.eval(), (x[:32],), (x[32:],), transformer=name.startswith("vit"))
    if only not in "minilm":
        return
    torch.manual_seed(0)
    config = transformers.BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    ids = torch.randint(1000, 30000, (48, 128)).numpy()
    yield Subject("minilm", _Logits(config).eval(), (ids[:32],), (ids[32:],), transformer=True)


def _pictures(count: int) -> Tensor:
    """Noise as smooth as photographs."""
    coarse = torch.randn(count, 3, 28, 28)
    return nn.functional.interpolate(coarse, size=224, mode="bilinear") + 0.3 * torch.randn(count, 3, 224, 224)


class _Logits(nn.Module):
    def __init__(self, config: transformers.BertConfig) -> None:
        super().__init__()
        self.net = transformers.BertForSequenceClassification(config)

    def forward(self, input_ids: Tensor) -> Tensor:
        out: Tensor = self.net(input_ids=input_ids).logits
        return out


class Bench:
    """One subject's files in one folder."""

    def __init__(self, subject: Subject, root: Path) -> None:
        self.subject, self.root = subject, root
        self.folder = JobDir(root / "job")
        self.folder.root.mkdir(parents=True)
        example = tuple(torch.from_numpy(array[:2]) for array in subject.test)
        shapes = tuple({0: torch.export.Dim("batch")} for _ in example)
        torch.export.save(torch.export.export(subject.net, example, dynamic_shapes=shapes), self.folder.model)
        labels = np.arange(len(subject.calibration[0])) % 2
        np.savez(root / "upload.npz", x_train=subject.calibration[0], y_train=labels)
        stage_dataset(root / "upload.npz", "dataset.npz", None, self.folder)
        self.float = root / "float.onnx"
        self.files: dict[str, Path] = {"float": self.float}

    def ours(self, called: str, step: dict[str, Any]) -> None:
        spec = JobSpec.model_validate({**IDS, "recipe": [step]})
        job = EngineJob(spec=spec, model_digest="sha256:" + "0" * 64, device="cpu")
        self.folder.scratch.mkdir(parents=True, exist_ok=True)
        ctx = open_job(self.folder, job)
        ctx.begin(0)
        if not self.float.exists():
            write_onnx(ctx.baseline, self.float)
        result = technique(ctx.config.kind)(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[attr-defined]
        ctx.events.close()
        self.files[called] = self.root / f"{len(self.files)}.onnx"
        write_onnx(result, self.files[called])

    def theirs(self, called: str, make: Callable[[Path], None]) -> None:
        target = self.root / f"{len(self.files)}.onnx"
        try:
            make(target)
        except Exception as error:  # whatever a library says is the result
            print(f"{self.subject.name}, {called}: {type(error).__name__}: {str(error)[:200]}", flush=True)
            return
        self.files[called] = target

    def prepared(self) -> Path:
        """The float file as ONNX Runtime's documentation wants it before quantizing."""
        target = self.root / "prepared.onnx"
        if not target.exists():
            quant_pre_process(str(self.float), str(target), skip_symbolic_shape=True)
        return target

    def rows(self, rounds: int) -> list[Row]:
        sessions = {name: open_session(path, 1) for name, path in self.files.items()}
        times = _interleaved(sessions, tuple(array[:1] for array in self.subject.test), rounds)
        wanted = _all(sessions["float"], self.subject.test)
        found = []
        for name, session in sessions.items():
            given = wanted if name == "float" else _all(session, self.subject.test)
            found.append(
                {
                    "model": self.subject.name,
                    "variant": name,
                    "accuracy": _accuracy(given, self.subject.labels),
                    "sqnr_db": None if name == "float" else round(_sqnr(wanted, given), 1),
                    "min_ms": round(min(times[name]) * 1e3, 2),
                    "median_ms": round(float(np.median(times[name])) * 1e3, 2),
                    "megabytes": round(self.files[name].stat().st_size / 1e6, 2),
                }
            )
        return found


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, path: Path, arrays: Arrays) -> None:
        names = [value.name for value in onnxruntime.InferenceSession(str(path)).get_inputs()]
        self.feeds = iter(
            [
                {name: array[start : start + 1] for name, array in zip(names, arrays, strict=True)}
                for start in range(min(CALIBRATED, len(arrays[0])))
            ]
        )

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self.feeds, None)


def _interleaved(sessions: dict[str, onnxruntime.InferenceSession], x: Arrays, rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for turn in range(rounds + 3):
        for name, session in sessions.items():
            started = time.perf_counter()
            run_session(session, x)
            if turn >= 3:
                times[name].append(time.perf_counter() - started)
    return times


def _all(session: onnxruntime.InferenceSession, x: Arrays) -> NDArray[np.float32]:
    parts = [run_session(session, tuple(a[start : start + 16] for a in x))[0] for start in range(0, len(x[0]), 16)]
    found: NDArray[np.float32] = np.concatenate(parts)
    return found


def _accuracy(given: NDArray[np.float32], labels: NDArray[np.int64] | None) -> float | None:
    return None if labels is None else round(100 * float((given.argmax(1) == labels).mean()), 2)


def _sqnr(wanted: NDArray[np.float32], given: NDArray[np.float32]) -> float:
    return 10 * math.log10(float((wanted**2).sum() / max(((wanted - given) ** 2).sum(), 1e-30)))


def on_cifar() -> list[Row]:
    """(a) Public weights, the whole test split."""
    found: list[Row] = []
    for subject in resnets():
        with tempfile.TemporaryDirectory() as root:
            bench = Bench(subject, Path(root))
            for called, options in VARIANTS.items():
                bench.ours(called, {"kind": "quantize.static", "calibration_samples": CALIBRATED, **options})
            found += bench.rows(rounds=300)
            _print(found[-len(bench.files) :])
    return found


def latencies(nncf_python: str | None, only: str = "") -> list[Row]:
    """(b) The usual networks: ours, the runtime's own, NNCF."""
    found: list[Row] = []
    for subject in settled(only):
        with tempfile.TemporaryDirectory() as root:
            bench = Bench(subject, Path(root))
            _add_all(bench, nncf_python)
            found += bench.rows(rounds=40)
            _print(found[-len(bench.files) :])
    return found


def _add_all(bench: Bench, nncf_python: str | None) -> None:
    for called in ("minmax", "mse", "mse + both"):
        bench.ours(f"ours static, {called}", {"kind": "quantize.static", **VARIANTS[called]})
    if bench.subject.transformer:
        bench.ours("ours dynamic", {"kind": "quantize.dynamic"})
        bench.theirs("ORT dynamic, defaults", lambda target: quantize_dynamic(_shapeless(bench), target))

    def reader() -> _Reader:
        return _Reader(bench.prepared(), bench.subject.calibration)

    bench.theirs("ORT static, defaults", lambda target: quantize_static(bench.prepared(), target, reader()))
    bench.theirs(
        "ORT static, U8S8 per channel",
        lambda target: quantize_static(
            bench.prepared(),
            target,
            reader(),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        ),
    )
    if nncf_python:
        kind = "transformer" if bench.subject.transformer else "default"
        bench.theirs(f"NNCF ONNX, {kind}", lambda target: _by_nncf(bench, nncf_python, target, kind))

    if importlib.util.find_spec("torchao") is not None:
        bench.theirs("torchao PT2E", lambda target: _by_torchao(bench, target))


def _shapeless(bench: Bench) -> Path:
    """The float file without the shapes of what is inside: in transformers ONNX Runtime's dynamic quantizer finds them
    at odds with those that it infers."""
    model = onnx.load(bench.float)
    del model.graph.value_info[:]
    target = bench.root / "shapeless.onnx"
    onnx.save(model, target)
    return target


def _by_torchao(bench: Bench, target: Path) -> None:
    """Static, by its quantizer for x86, exported to ONNX as torch does it."""
    base = "torchao.quantization.pt2e"
    quantize_pt2e = importlib.import_module(f"{base}.quantize_pt2e")
    x86 = importlib.import_module(f"{base}.quantizer.x86_inductor_quantizer")
    (samples,) = (torch.from_numpy(array) for array in bench.subject.calibration)
    shapes = ({0: torch.export.Dim("batch")},)
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    with torch.no_grad():
        graph = torch.export.export(bench.subject.net, (samples[:2],), dynamic_shapes=shapes).module()
        prepared = quantize_pt2e.prepare_pt2e(graph, quantizer)
        for start in range(len(samples)):
            prepared(samples[start : start + 1])
        converted = torch.export.export(quantize_pt2e.convert_pt2e(prepared), (samples[:2],), dynamic_shapes=shapes)
        program = torch.onnx.export(converted, dynamo=True)
    assert program is not None
    program.save(target)


def _by_nncf(bench: Bench, python: str, target: Path, kind: str) -> None:
    samples = bench.root / "samples.npz"
    name = onnxruntime.InferenceSession(str(bench.float)).get_inputs()[0].name
    given: dict[str, Any] = {name: bench.subject.calibration[0]}
    np.savez(samples, **given)
    script = Path(__file__).with_name("nncf_onnx.py")
    done = subprocess.run(
        [python, str(script), str(bench.float), str(samples), str(target), kind], capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])


def _print(rows: list[Row]) -> None:
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join("" if value is None else str(value) for value in row.values()) + " |")
    sys.stdout.flush()


if __name__ == "__main__":
    torch.set_num_threads(1)
    which = sys.argv[1] if len(sys.argv) > 1 else "cifar"
    if which == "cifar":
        on_cifar()
    else:
        latencies(sys.argv[2] if len(sys.argv) > 2 else None, sys.argv[3] if len(sys.argv) > 3 else "")
