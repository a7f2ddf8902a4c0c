"""Traces: from a request through its job to each attempt and each step. Nothing leaves this machine unasked.

    server span (FastAPI) ── job (made when it is queued; its place is kept in the job's row)
                             └─ attempt (a worker) ── step, step, …

Spans are sent only where the standard OTEL_EXPORTER_OTLP_ENDPOINT names a receiver, over HTTP, and all else that the
OpenTelemetry variables say holds too. Without it every span here is one that does nothing.
"""

import atexit
import importlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pith import __version__

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
FLUSH_MILLISECONDS = 3000
_PROPAGATOR = TraceContextTextMapPropagator()
log = logging.getLogger(__name__)


def set_up(process: str) -> None:
    """Send spans from now on, if a receiver is named. Starts a thread: a process that forks has to have forked."""
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return
    if any(os.environ.get(name, "http/protobuf") != "http/protobuf" for name in _PROTOCOLS):
        log.warning("there are no traces: only OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf is spoken")
        return
    try:
        sdk = importlib.import_module("opentelemetry.sdk.trace")
        resources = importlib.import_module("opentelemetry.sdk.resources")
        export = importlib.import_module("opentelemetry.sdk.trace.export")
        otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError:
        log.warning("there are no traces: a receiver is named, and 'pith[otel]' is not installed")
        return
    service = {"service.name": os.environ.get("OTEL_SERVICE_NAME", f"pith-{process}"), "service.version": __version__}
    provider = sdk.TracerProvider(resource=resources.Resource.create(service), shutdown_on_exit=False)
    provider.add_span_processor(_without_query(sdk.SpanProcessor))
    provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    atexit.register(provider.shutdown)


def flush() -> None:
    """Send what waits to be sent, for some seconds at most."""
    send = getattr(trace.get_tracer_provider(), "force_flush", None)
    if send is not None:
        send(FLUSH_MILLISECONDS)


def _without_query(base: Any) -> Any:
    """A query string may hold a signature, and names that a caller chose."""

    class WithoutQuery(base):  # type: ignore[misc]
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            if span.attributes and "url.query" in span.attributes:
                span.set_attribute("url.query", "REDACTED")

    return WithoutQuery()


def queued(id: str, kind: str) -> str | None:
    """The place of a new job in the trace that goes on, as W3C's ``traceparent``; None where there is no trace."""
    if not trace.get_current_span().get_span_context().is_valid:
        return None
    with _tracer().start_as_current_span("job", kind=SpanKind.PRODUCER, attributes=_of_job(id, kind)):
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get("traceparent")


@contextmanager
def attempt(id: str, kind: str, number: int, traceparent: str | None) -> Iterator[Span]:
    """The work of one worker on one job; what begins meanwhile in this thread is a part of it."""
    context = _PROPAGATOR.extract({"traceparent": traceparent} if traceparent else {})
    attributes = {**_of_job(id, kind), "pith.attempt": number}
    with _tracer().start_as_current_span("attempt", context, SpanKind.CONSUMER, attributes) as span:
        yield span


def ended(how: str, ok: bool) -> None:
    """Of the span that goes on."""
    span = trace.get_current_span()
    span.set_attribute("pith.attempt.end", how)
    span.set_status(StatusCode.OK if ok else StatusCode.ERROR, None if ok else how)


def step(index: int, technique: str, began_ns: int) -> Span:
    """One step of a recipe; whoever begins it ends it."""
    return _tracer().start_span(technique, attributes={"pith.step": index}, start_time=began_ns)


def _of_job(id: str, kind: str) -> dict[str, Any]:
    return {"pith.job": id, "pith.job.kind": kind}


def _tracer() -> trace.Tracer:
    return trace.get_tracer("pith", __version__)
