"""``make demo``: the whole road on real input, from training a model to running the compact one without its source."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

HERE = Path(__file__).parent
OUT = Path("demo-out")
INPUT = OUT / "input"
PITH = [str(Path(sys.executable).with_name("pith"))]


def main() -> int:
    INPUT.mkdir(parents=True, exist_ok=True)
    with service() as url:
        subprocess.run([sys.executable, str(HERE / "train.py"), str(INPUT)], check=True)
        job = run(url)
    report = json.loads((OUT / "report.json").read_text())
    accuracy = prove()
    assert report["result"]["metrics"], "a report without numbers"
    measured = next(metric["value"] for metric in report["result"]["metrics"] if metric["name"] == "accuracy")
    assert abs(accuracy - measured) < 1e-9, f"{accuracy} is not the {measured} that the report promised"
    print(f"\nonnxruntime alone, in a new process, on the same test digits: accuracy {accuracy:.4f}, as reported")
    print(f"compact model    {OUT / 'model.onnx'} (also .pt2 and .safetensors)")
    print(f"report           {OUT / 'report.html'}")
    print(f"job              {job}   (after `make serve`)")
    return 0 if report["verdict"] == "met" else 3


def run(url: str) -> str:
    """Upload, submit, watch, compare, download: the command line does it all. Says the job's address."""
    files = ["--model", str(INPUT / "model.pt2"), "--data", str(INPUT / "dataset.npz"), "--out", str(OUT)]
    subprocess.run([*PITH, "run", str(HERE / "job.json"), "--url", url, *files], check=True)
    report = json.loads((OUT / "report.json").read_text())
    return f"{url}/v1/jobs/{report['job']}"


def prove() -> float:
    command = [sys.executable, "-I", str(HERE / "prove.py"), str(OUT / "model.onnx"), str(INPUT / "dataset.npz")]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@contextmanager
def service() -> Iterator[str]:
    """The one that runs already, or one of our own until the demo is over."""
    port = int(os.environ.get("PITH_PORT", "8000"))
    url = f"http://127.0.0.1:{port}"
    if ready(url):
        print(f"using the service that runs at {url}", flush=True)
        yield url
        return
    if taken(port):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
    print(f"starting the service at {url} (its log: {OUT / 'service.log'})", flush=True)
    with (OUT / "service.log").open("w") as log:
        up = subprocess.Popen([*PITH, "up"], stdout=log, stderr=log, env={**os.environ, "PITH_PORT": str(port)})
        try:
            wait_for(url, up)
            yield url
        finally:
            up.terminate()
            up.wait()


def wait_for(url: str, up: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not ready(url):
        if up.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"the service did not start:\n{(OUT / 'service.log').read_text()}")
        time.sleep(0.2)


def ready(url: str) -> bool:
    try:
        answer = httpx.get(f"{url}/readyz", timeout=2, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.is_success and "techniques" in httpx.get(f"{url}/openapi.json", trust_env=False).text


def taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    sys.exit(main())
