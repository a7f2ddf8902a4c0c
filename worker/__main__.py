"""``python -m worker``: one Celery worker with the flags that Pith needs. One process runs one job at a time."""

from worker.application import start
from worker.main import app

if __name__ == "__main__":
    start(app)
