"""The whole corpus over HTTP, through a whole service: ``python -m tests.hostile``. Takes some minutes."""

import sys
import tempfile
from pathlib import Path

from tests.hostile.corpus import CORPUS
from tests.hostile.delivery import deliver
from tests.hostile.service import complaint, running
from tests.hostile.trial import listener


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="pith-hostile-") as name, listener() as port:
        folder = Path(name)
        with running(folder) as service:
            found = deliver(service.url, CORPUS.values(), folder / "files", port.port)
        complaints = {case.name: complaint(case, found[case.name], folder) for case in CORPUS.values()}
        fired = port.called() or bool(list(folder.rglob("canary")))
    for name, text in complaints.items():
        if text:
            print(f"{name}: {text}")
    wrong = sum(map(bool, complaints.values()))
    print(f"{len(complaints)} uploads, {wrong} not refused as they should be; code {'ran' if fired else 'never ran'}")
    return 1 if wrong or fired else 0


if __name__ == "__main__":
    sys.exit(main())
