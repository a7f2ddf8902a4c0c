"""Where a model comes from and what has come of it, as a graph from left to right.

Nobody writes down that an uploaded model is a job's result: it is one when its bytes are those of an artifact.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from app.service import Service
from pith.errors import PithError
from pith.job import Job, JobSpec
from pith.resources import Model

MOST = 12
WIDTH, HEIGHT, GAP_X, GAP_Y = 190, 44, 44, 14


@dataclass(frozen=True)
class Node:
    """A box; ``column`` counts from the model in the middle, which has 0."""

    key: str
    column: int
    title: str
    says: str
    address: str | None
    kind: str


@dataclass(frozen=True)
class Edge:
    """From one box to another, by their keys."""

    tail: str
    head: str


@dataclass(frozen=True)
class Placed:
    node: Node
    x: int
    y: int


@dataclass(frozen=True)
class Drawing:
    """Boxes and lines in their places. ``before`` and ``after`` are the same in words, nearest first."""

    width: int
    height: int
    boxes: tuple[Placed, ...]
    lines: tuple[tuple[int, int, int, int], ...]
    before: tuple[Node, ...]
    after: tuple[Node, ...]


def descent(service: Service, model: Model) -> Drawing | None:
    """None for a model that nothing is known of but itself."""
    nodes, edges = {model.id: Node(model.id, 0, model.name, "this model", None, "here")}, list[Edge]()
    for node, edge in (*_before(service, model), *_after(service, model)):
        nodes.setdefault(node.key, node)
        edges.append(edge)
    return _drawn(tuple(nodes.values()), edges) if edges else None


def _before(service: Service, model: Model) -> Iterator[tuple[Node, Edge]]:
    made = service.jobs.that_made(model.digest, 3) if model.digest is not None else ()
    if model.source is not None and not any(model.source.uri.startswith(f"/v1/jobs/{job.id}/") for job in made):
        title = "a job that is deleted" if model.source.uri.startswith("/v1/jobs/") else "imported"
        node = Node("source", -1, title, model.source.uri, None, "source")
        yield node, Edge(node.key, model.id)
    for job in made:
        yield _job(job, -1), Edge(job.id, model.id)
        for parent in _named(service, job):
            if parent.id != model.id:
                yield _model(parent, -2), Edge(parent.id, job.id)


def _after(service: Service, model: Model) -> Iterator[tuple[Node, Edge]]:
    jobs = service.jobs.list(MOST, naming=(model.id,)).data
    for job in jobs:
        yield _job(job, 1), Edge(model.id, job.id)
    made = {artifact.digest: job.id for job in jobs for artifact in job.artifacts if artifact.kind == "model"}
    for child in service.models.of_bytes(made, MOST) if made else ():
        if child.id != model.id and child.digest is not None:
            yield _model(child, 2), Edge(made[child.digest], child.id)


def _named(service: Service, job: Job) -> Iterator[Model]:
    """The model that a job began with, unless it is gone."""
    if isinstance(job.spec, JobSpec):
        try:
            yield service.models.get(job.spec.model)
        except PithError:
            return


def _job(job: Job, column: int) -> Node:
    kinds = [step.kind for step in job.spec.recipe] if isinstance(job.spec, JobSpec) else []
    ended = job.verdict if job.verdict in ("met", "not_met") else job.status
    title = " → ".join(kinds) or "measured"
    return Node(job.id, column, title, f"job, {ended.replace('_', ' ')}", f"/jobs/{job.id}", "job")


def _model(model: Model, column: int) -> Node:
    return Node(model.id, column, model.name, "model", f"/models/{model.id}", "model")


def _drawn(nodes: Sequence[Node], edges: Iterable[Edge]) -> Drawing:
    columns = sorted({node.column for node in nodes})
    held = [[node for node in nodes if node.column == column] for column in columns]
    height = max(map(len, held)) * (HEIGHT + GAP_Y) - GAP_Y
    boxes = {
        node.key: Placed(node, place * (WIDTH + GAP_X), _top(row, len(column), height))
        for place, column in enumerate(held)
        for row, node in enumerate(column)
    }
    lines = tuple(
        (tail.x + WIDTH, tail.y + HEIGHT // 2, head.x, head.y + HEIGHT // 2)
        for tail, head in ((boxes[edge.tail], boxes[edge.head]) for edge in edges)
    )
    return Drawing(
        width=len(columns) * (WIDTH + GAP_X) - GAP_X,
        height=height,
        boxes=tuple(boxes.values()),
        lines=lines,
        before=tuple(sorted((node for node in nodes if node.column < 0), key=lambda node: -node.column)),
        after=tuple(node for node in nodes if node.column > 0),
    )


def _top(row: int, count: int, height: int) -> int:
    return (height - count * (HEIGHT + GAP_Y) + GAP_Y) // 2 + row * (HEIGHT + GAP_Y)
