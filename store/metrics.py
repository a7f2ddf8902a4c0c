"""Numbers that Prometheus asks for, of every process: where they are registered, and those of the store itself.

No label is an id or a name that a caller chose, so that there are never more series than the code has words for.
"""

from prometheus_client import CollectorRegistry, Counter, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.metrics import disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
for collector in (ProcessCollector, PlatformCollector, GCCollector):
    collector(registry=REGISTRY)

DISPATCHES = Counter(
    "pith_dispatches_total",
    "Messages sent to workers; again, where one was most likely lost.",
    ["sent"],
    registry=REGISTRY,
)
LEASES_REAPED = Counter(
    "pith_leases_reaped_total", "Jobs taken from workers that were silent for too long.", registry=REGISTRY
)
LONG = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
"""Buckets of what takes seconds to a day."""
