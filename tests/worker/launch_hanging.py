"""``python -m tests.worker.launch_hanging``: the real worker, whose main loop hangs for ever once it gets SIGUSR2."""

import signal
import time

from tests.worker.entries import ENTRY
from worker import rounds
from worker.application import make_app, start
from worker.warm_client import WarmServer

if __name__ == "__main__":
    rounds.ROUND_SECONDS, rounds.SILENCE_SECONDS = 0.2, 10
    signal.signal(signal.SIGUSR2, lambda *_: time.sleep(10**6))
    start(make_app(WarmServer(ENTRY, preload=())))
