"""OpenStack Swift with its S3 door, all of its servers in one process: ``python -m tests.store.swift_server FOLDER``.

Says ``ready PORT`` when it listens. Started again on the same folder it has the same port and the same objects.
"""

import eventlet

eventlet.monkey_patch()

import ctypes  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

from swift.common import utils  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.common.wsgi import run_server  # noqa: E402

SERVERS = ("proxy", "account", "container", "object")
SWIFT_CONF = """
[swift-hash]
swift_hash_path_suffix = tests
[storage-policy:0]
name = one
default = yes
[swift-constraints]
max_meta_count = 200
"""
STORAGE = """
[DEFAULT]
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
log_level = CRITICAL
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""
PROXY = """
[DEFAULT]
swift_dir = {folder}
log_level = CRITICAL
[pipeline:main]
pipeline = catch_errors gatekeeper listing_formats bulk s3api tempauth copy slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
auth_pipeline_check = false
s3_acl = false
dns_compliant_bucket_names = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
"""


def main(folder: Path) -> None:
    _die_with_parent()
    before = folder / "ports"
    wanted = map(int, before.read_text().split()) if before.exists() else [0] * len(SERVERS)
    sockets = {name: _listening(port) for name, port in zip(SERVERS, wanted, strict=True)}
    ports = {name: listening.getsockname()[1] for name, listening in sockets.items()}
    if not before.exists():
        _lay_out(folder, ports)
        before.write_text(" ".join(map(str, ports.values())))
    utils.set_swift_dir(str(folder))
    for name in SERVERS[1:]:
        if not os.fork():
            _die_with_parent()
            _run(folder / f"{name}.conf", name, sockets[name])
    print("ready", ports["proxy"], flush=True)
    _run(folder / "proxy.conf", "proxy", sockets["proxy"])


def _die_with_parent() -> None:
    """Also where the tests are killed and tidy nothing up."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _listening(port: int) -> socket.socket:
    deadline = time.monotonic() + 30
    while True:
        try:
            return eventlet.listen(("127.0.0.1", port), backlog=256)
        except OSError:
            if time.monotonic() > deadline:
                raise
            eventlet.sleep(0.1)


def _lay_out(folder: Path, ports: dict[str, int]) -> None:
    (folder / "devices" / "d0").mkdir(parents=True)
    (folder / "swift.conf").write_text(SWIFT_CONF)
    (folder / "proxy.conf").write_text(PROXY.format(folder=folder))
    for name in SERVERS[1:]:
        (folder / f"{name}.conf").write_text(STORAGE.format(folder=folder, name=name))
        ring = RingBuilder(part_power=2, replicas=1, min_part_hours=0)
        where = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": ports[name], "device": "d0", "weight": 1}
        ring.add_dev(where)
        ring.rebalance()
        ring.get_ring().save(str(folder / f"{name}.ring.gz"))


def _run(conf: Path, name: str, listening: socket.socket) -> None:
    conf_of_app = {"__file__": str(conf), "log_level": "CRITICAL", "client_timeout": "60"}
    run_server(conf_of_app, utils.get_logger(conf_of_app, name), listening)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
