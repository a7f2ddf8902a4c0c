"""The worker's Celery application, for ``celery -A worker.main worker``; ``python -m worker`` adds the right flags."""

from worker.application import make_app
from worker.warm_client import WarmServer

app = make_app(WarmServer())
