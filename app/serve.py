"""`python -m app.serve`: the API alone, under uvicorn, as PITH_* says. A database and a queue are somewhere else."""

import gc
import sys

import uvicorn
from pydantic import ValidationError

from app.main import create_app
from app.service import check_keys
from app.settings import ApiSettings
from pith.errors import PithError
from store import logs, metrics, traces
from store.port import Life, open_port
from store.room import FreeDisk
from store.settings import Settings, refusal


def main() -> int:
    try:
        settings, store = ApiSettings(), Settings()
        check_keys(settings, store)
        logs.set_up(store, "api")
        open_port(store, Life())
    except (PithError, ValidationError) as error:
        print(refusal(error), file=sys.stderr)  # noqa: T201
        return 2
    traces.set_up("api")
    metrics.REGISTRY.register(FreeDisk(store))
    return _serve(settings, store)


def _serve(settings: ApiSettings, store: Settings) -> int:
    # The streams ask the server whether it wants to end, and the server is made from the app.
    servers: list[uvicorn.Server] = []
    app = create_app(settings, store, stopping=lambda: servers[0].should_exit)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
    )
    servers.append(uvicorn.Server(config))
    gc.collect()
    gc.freeze()  # what is there now stays: looking through it again and again held up every request for 0.1 s
    servers[0].run()
    return 0 if servers[0].started else 3


if __name__ == "__main__":
    sys.exit(main())
