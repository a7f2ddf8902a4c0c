"""Stand-ins for the engine, run by a real fork server in the real sandbox. Each reads what to do from its job folder."""
import time
from pathlib import Path

def obey(job_dir: Path, sandbox: tuple[str, ...]) -> int:
    print("hello", sandbox, flush=True)
    Path(job_dir, "out", "did").write_text(repr(sandbox))
    src = (job_dir / "act.py").read_text()
    ns = {"job_dir": job_dir, "out": job_dir / "out"}
    exec(src, ns)
    return ns.get("code", 0)
