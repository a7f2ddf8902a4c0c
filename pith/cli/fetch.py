"""Downloads of a job's artifacts."""

from pathlib import Path

import click

from pith.artifact import Artifact
from pith.cli.output import Output
from pith.client import Pith
from pith.patience import patiently
from pith.transfer import target


def download_to(pith: Pith, out: Output, id: str, names: tuple[str, ...], to: Path) -> None:
    """Into a folder, all of them or those named; one that was cut off is fetched again."""
    artifacts = {artifact.name: artifact for artifact in patiently(lambda: pith.jobs.artifacts(id))}
    if not artifacts:
        raise click.ClickException(f"the job {id} has no artifacts; it has them once it has succeeded")
    if missing := set(names) - set(artifacts):
        raise click.UsageError(f"the job has no {', '.join(sorted(missing))}; it has {', '.join(artifacts) or 'none'}")
    to.mkdir(parents=True, exist_ok=True)
    for artifact in [artifacts[name] for name in names] or list(artifacts.values()):
        _download(pith, out, artifact, to)
        out.note(f"{to / artifact.name}  {artifact.size_bytes} bytes")


def _download(pith: Pith, out: Output, artifact: Artifact, to: Path) -> None:
    with out.moving(artifact.name) as told:
        patiently(lambda: pith.jobs.download(artifact, target(to, artifact.name), told))
