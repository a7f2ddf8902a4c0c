"""``python -m tests.worker.impatient``: the tests' worker, where a message counts as lost after a second."""

from store import queue
from tests.worker.entries import ENTRY
from worker.application import make_app, start
from worker.warm_client import WarmServer

VISIBILITY_SECONDS = 1

if __name__ == "__main__":
    patient = queue._redis_options
    queue._redis_options = lambda: {**patient(), "visibility_timeout": VISIBILITY_SECONDS, "unacked_restore_limit": 1}
    start(make_app(WarmServer(ENTRY, preload=())))
