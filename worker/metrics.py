"""The worker's numbers for Prometheus. What a job's process says of itself decides no label: see ``worker.steps``."""

from prometheus_client import Counter, Gauge, Histogram

from store.metrics import LONG, REGISTRY

ATTEMPTS = Counter("pith_attempts_total", "Attempts at jobs, by how they ended.", ["kind", "end"], registry=REGISTRY)
JOB_SECONDS = Histogram(
    "pith_job_seconds",
    "Time that workers spent on a job that has ended, all attempts together.",
    ["kind", "outcome"],
    buckets=LONG,
    registry=REGISTRY,
)
STEP_SECONDS = Histogram(
    "pith_step_seconds", "Time that a step took, by its technique.", ["technique"], buckets=LONG, registry=REGISTRY
)
FENCED = Counter(
    "pith_fenced_writes_total",
    "Ends of attempts not written: the job was another's by then.",
    registry=REGISTRY,
)
HEARTBEAT_LAG = Gauge(
    "pith_heartbeat_lag_seconds",
    "How much later than it should be the running job's lease was renewed last; 0 without a job.",
    registry=REGISTRY,
)
