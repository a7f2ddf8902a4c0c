"""A report as a worker would store it."""

from datetime import UTC, datetime

from pith.job import Job
from pith.report import Comparison, Environment, Measurement, Metric, Report


def report_of(job: Job, size: float) -> Report:
    def measured(bytes: float, accuracy: float) -> Measurement:
        return Measurement(
            metrics=(
                Metric(name="size_bytes", value=bytes, unit="B", better="lower"),
                Metric(name="accuracy", value=accuracy, unit="", better="higher"),
            )
        )

    return Report(
        job=job.id,
        created_at=datetime.now(UTC),
        verdict="unconstrained",
        headline=("12 times smaller [bold]and not bold[/bold]",),
        spec=job.spec,
        model_digest=f"sha256:{'0' * 64}",
        dataset_digest=None,
        baseline=measured(size * 12, 0.9),
        result=measured(size, 0.89),
        steps=(),
        comparison=Comparison(compression_ratio=12, speedup=2, quality="accuracy", measured_on="test split"),
        constraints=(),
        outputs=(),
        environment=Environment(
            device="cpu", device_name="a", runtime="b", threads=1, batch_size=1, versions={}, sandbox=()
        ),
        seconds=1,
    )
