"""``python -m worker``: one Celery worker with the flags that Pith needs. One process runs one job at a time."""

import logging
import os

from store.queue import QUEUE_NAME
from worker.main import app

FLAGS = ("--pool=threads", "--concurrency=1", f"--queues={QUEUE_NAME}", "--without-gossip", "--without-mingle")


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    app.worker_main(["worker", *FLAGS, "--without-heartbeat", "--loglevel=INFO", f"--hostname=pith-{os.getpid()}@%h"])


if __name__ == "__main__":
    main()
