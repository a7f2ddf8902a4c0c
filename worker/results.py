"""What a job's process left in out/, taken over. Nothing in there is trusted: files are opened without following links,
sizes are bounded, digests are computed here, and the report must validate and be about this job."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from pydantic import ValidationError

from engine.jobdir import JobDir
from pith.artifact import ArtifactKind
from pith.dataset import FittedPreprocessing
from pith.errors import ERRORS, FieldProblem, PithError, Problem
from pith.job import Verdict
from pith.outcome import Outcome, Reached
from pith.report import OutputReport, Report
from store.attempts import Claim, NewArtifact
from store.blob_writer import Stored
from store.blobs import Blobs
from store.inputs import Inputs

REPORT_BYTES = 8 << 20
PAGE_BYTES = 32 << 20
PREPROCESSING_BYTES = 32 << 20
ERROR_BYTES = 1 << 18
FIELD_PROBLEMS, FIELD_TEXT = 100, 600
DETAIL = 2000
_CHUNK = 1 << 20


class Results(NamedTuple):
    artifacts: tuple[NewArtifact, ...]
    verdict: Verdict
    outcome: Outcome


def collect(folder: JobDir, claim: Claim, blobs: Blobs) -> Results:
    """Store the report and the outputs that the spec asks for. On an error some blobs stay; the store sweeps them.

    Raises:
        PithError: ``engine_fault`` when what is there is not what was promised, or ``storage_full``.
    """
    with opened(folder.out) as out:
        report = _report(small(out, folder.report_json.name, REPORT_BYTES), claim)
        page = small(out, folder.report_html.name, PAGE_BYTES)
        models = [_store_output(out, folder.output(output.format).name, output, blobs) for output in report.outputs]
        made = list(_preprocessing(out, folder, blobs))
    text = report.model_dump_json(indent=2).encode()
    reports = [_stored("report", "report.json", text, blobs), _stored("report", "report.html", page, blobs)]
    return Results((*models, *made, *reports), report.verdict, outcome_of(report))


def outcome_of(report: Report) -> Outcome:
    """What is kept of a report beside the job."""
    found = report.comparison
    return Outcome(
        compression_ratio=found.compression_ratio,
        speedup=found.speedup,
        speedup_interval=found.speedup_interval,
        quality=found.quality,
        quality_drop=found.quality_drop,
        quality_drop_interval=found.quality_drop_interval,
        constraints=tuple(
            Reached(name=each.name, limit=each.limit, value=each.value, met=each.met) for each in report.constraints
        ),
        replay=None if report.replay is None else plain_text(report.replay.verdict, DETAIL),
        identical=None if report.replay is None else report.replay.identical,
    )


def problem(folder: JobDir) -> Problem:
    """Why the process says that it failed, in the table's own words as far as they are the table's."""
    try:
        with opened(folder.out) as out:
            said = Problem.model_validate_json(small(out, folder.error.name, ERROR_BYTES))
    except ValidationError:
        return fault("an error.json that is no problem").problem
    except PithError as error:
        return error.problem
    row = ERRORS.get(said.code)
    if row is None:
        return fault(f"the unknown code {said.code[:80]!r}").problem
    return Problem(
        type=f"urn:pith:error:{said.code}",
        title=row.title,
        status=row.status,
        detail=plain_text(said.detail, DETAIL),
        code=said.code,
        errors=tuple(_field_problem(one) for one in said.errors[:FIELD_PROBLEMS]),
    )


def _field_problem(said: FieldProblem) -> FieldProblem:
    return FieldProblem(**{name: plain_text(text, FIELD_TEXT) for name, text in said.model_dump().items()})


def fault(what: str) -> PithError:
    return PithError("engine_fault", error=plain_text(what, DETAIL))


def plain_text(text: str, length: int) -> str:
    """On one line, without control characters, and no longer than ``length``."""
    return "".join(character if character.isprintable() else " " for character in text[:length]).strip()


def _report(text: bytes, claim: Claim) -> Report:
    try:
        report = Report.model_validate_json(text)
    except ValidationError as error:
        raise fault(f"a report that does not validate: {error.errors()[0]['loc']} {error.errors()[0]['msg']}") from None
    _check_subject(report, claim)
    formats = [output.format for output in report.outputs]
    asked = [*report.spec.outputs, *(["pith"] if report.spec.encodes() else [])]
    if sorted(formats) != sorted(asked):
        raise fault(f"the outputs {formats}, and the spec asks for {asked}")
    if report.verdict != _verdict(report):
        raise fault(f"the verdict {report.verdict!r}, which its constraints contradict")
    return report


def _check_subject(report: Report, claim: Claim) -> None:
    assert isinstance(claim.inputs, Inputs)
    dataset = claim.inputs.dataset and claim.inputs.dataset.digest
    about = (report.job, report.spec, report.model_digest, report.dataset_digest)
    if about != (claim.job.id, claim.job.spec, claim.inputs.model.digest, dataset):
        raise fault("a report that is about something else than this job")
    if (report.forked_from, report.replay and report.replay.job) != (claim.job.forked_from, claim.job.replays):
        raise fault("a report that names another origin than this job has")


def _verdict(report: Report) -> Verdict:
    wanted = {name: limit for name, limit in report.spec.constraints.model_dump().items() if limit is not None}
    if {result.name: result.limit for result in report.constraints} != wanted:
        raise fault("a report whose constraints are not those of the spec")
    if not wanted:
        return "unconstrained"
    return "met" if all(result.met for result in report.constraints) else "not_met"


def _store_output(out: int, name: str, output: OutputReport, blobs: Blobs) -> NewArtifact:
    digest, size = store_file(out, name, blobs)
    if (digest, size) != (output.digest, output.size_bytes):
        raise fault(f"{name} of {size} bytes and {digest}, and its report says {output.size_bytes} and {output.digest}")
    return NewArtifact("model", name, output.format, digest, size)


def store_file(out: int, name: str, blobs: Blobs) -> Stored:
    """A plain file of the opened folder, as a blob. Raises PithError ``engine_fault`` or ``storage_full``."""
    with plain_file(out, name) as file:
        return store_open(file, blobs)


def store_open(file: int, blobs: Blobs) -> Stored:
    """An opened file, as a blob. Raises PithError ``storage_full``."""
    writer = blobs.writer()
    try:
        while data := os.read(file, _CHUNK):
            writer.write(data)
        return writer.commit()
    finally:
        writer.abort()


def store_text(text: bytes, blobs: Blobs) -> Stored:
    """Raises PithError ``storage_full``."""
    writer = blobs.writer()
    try:
        writer.write(text)
        return writer.commit()
    finally:
        writer.abort()


def _preprocessing(out: int, folder: JobDir, blobs: Blobs) -> Iterator[NewArtifact]:
    """How samples became inputs, and the tokenizer; neither where the samples were tensors."""
    if folder.preprocessing.name not in os.listdir(out):
        return
    try:
        text = small(out, folder.preprocessing.name, PREPROCESSING_BYTES)
        fitted = FittedPreprocessing.model_validate_json(text)
    except ValidationError as error:
        raise fault(f"a preprocessing.json that does not validate: {error.errors()[0]['msg']}") from None
    text = fitted.model_dump_json(indent=2).encode()
    yield _stored("preprocessing", folder.preprocessing.name, text, blobs)
    if fitted.preprocessing.kind == "text":
        name = folder.part("tokenizer.json").name
        yield NewArtifact("preprocessing", name, "json", *store_file(out, name, blobs))


def _stored(kind: ArtifactKind, name: str, text: bytes, blobs: Blobs) -> NewArtifact:
    digest, size = store_text(text, blobs)
    return NewArtifact(kind, name, name.rpartition(".")[2], digest, size)


def small(out: int, name: str, limit: int) -> bytes:
    """All bytes of a plain file. Raises PithError ``engine_fault``."""
    with plain_file(out, name) as file:
        size = os.fstat(file).st_size
        if size > limit:
            raise fault(f"{name} of {size} bytes, and {limit} is the most")
        return os.read(file, limit)


@contextmanager
def opened(folder: os.PathLike[str] | str, within: int | None = None) -> Iterator[int]:
    """A folder, or one of an opened folder, for the functions here that read files in it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def plain_file(out: int, name: str) -> Iterator[int]:
    """A regular file that has no second name elsewhere: never a link to something that the worker may read."""
    try:
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=out)
    except OSError as error:
        raise fault(f"no {name} ({error.strerror})") from None
    try:
        facts = os.fstat(opened)
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
            raise fault(f"{name} that is no plain file")
        yield opened
    finally:
        os.close(opened)
