"""The API's numbers for Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

from store.metrics import REGISTRY

_UPLOADS = {"/v1/models": "models", "/v1/datasets": "datasets", "/v1/uploads": "uploads", "/v1/uploads/{id}": "uploads"}
METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"})
REQUESTS = Counter(
    "pith_http_requests_total", "Requests that were answered.", ["method", "route", "status"], registry=REGISTRY
)
SECONDS = Histogram(
    "pith_http_request_duration_seconds",
    "From a request's head to the last byte of its answer; not of live event streams.",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
    registry=REGISTRY,
)
UPLOAD_BYTES = Counter("pith_upload_bytes_total", "Bytes of uploads that have arrived.", ["to"], registry=REGISTRY)
EVENT_STREAMS = Gauge("pith_event_streams", "Live event streams that are open.", registry=REGISTRY)


def request(method: str, route: str, status: int | None, seconds: float | None, received: int) -> None:
    """One that has ended. No ``seconds``: its length says nothing. No ``status``: it was not answered."""
    method = method if method in METHODS else "other"
    REQUESTS.labels(method, route, str(status or "none")).inc()
    if seconds is not None:
        SECONDS.labels(method, route).observe(seconds)
    if received and route in _UPLOADS:
        UPLOAD_BYTES.labels(_UPLOADS[route]).inc(received)
