"""``python -m tests.worker.launch``: the real worker, whose jobs run the tests' scripts instead of the engine."""

from tests.worker.entries import ENTRY
from worker.application import make_app, start
from worker.warm_client import WarmServer

if __name__ == "__main__":
    start(make_app(WarmServer(ENTRY, preload=())))
