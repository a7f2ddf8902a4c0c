"""Replays and forks over HTTP: what they are made of, and everything that is refused."""

import os
from typing import Any

import httpx
import pytest

from pith.access import DEFAULT_PROJECT, ProjectChange, Quotas
from pith.client import Pith
from pith.errors import PithError
from pith.fork import ForkSpec
from pith.job import Job
from store.checkpoints import Kept
from tests.app.by_hand import Bench

RECIPE = [{"kind": "prune.magnitude"}, {"kind": "prune.magnitude", "sparsity": 0.7}, {"kind": "quantize.dynamic"}]
NOTHING = "job_" + "7" * 26


def code(answer: httpx.Response) -> str:
    return str(answer.json()["code"])


def detail(answer: httpx.Response) -> str:
    return str(answer.json()["detail"])


def submitted(http: httpx.Client, model: str, **fields: Any) -> str:
    spec = {"model": model, "recipe": RECIPE, "keep_steps": True, **fields}
    answer = http.post("/v1/jobs", json=spec)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def keep(bench: Bench, job: str, attempt: int, *steps: int) -> None:
    """As the worker does it when a step is finished."""
    for step in steps:
        names = (f"graph-{step}.pt2", f"step-{step}.onnx", f"position-{step}.json")
        files = []
        for name in names:
            writer = bench.blobs.writer()
            writer.write(f"{name} {os.urandom(4).hex()}".encode())
            files.append(Kept(name, *writer.commit()))
        assert bench.jobs.keep_step(job, attempt, step, files, bench.blobs) == "running"


@pytest.fixture
def done(http: httpx.Client, bench: Bench, model: str) -> str:
    """A job that has succeeded and kept two steps; its last one finished the model."""
    id = submitted(http, model)
    attempt = bench.start(id)
    keep(bench, id, attempt, 0, 1)
    bench.succeed(id, attempt, report_json=b"{}", model_onnx=os.urandom(16))
    return id


def checkpoint(bench: Bench, job: str) -> dict[str, str]:
    claim = bench.jobs.claim(job, "by hand", 600)
    assert claim is not None
    found = {}
    for name, digest in claim.checkpoint.items():
        with bench.blobs.open(digest) as file:
            found[name] = file.read().decode().split()[0]
    return found


def test_a_replay_has_the_same_spec_and_knows_its_original(
    client: Pith, http: httpx.Client, bench: Bench, done: str
) -> None:
    answer = http.post(f"/v1/jobs/{done}/replay")
    assert answer.status_code == 202
    made = Job.model_validate_json(answer.content)
    assert answer.headers["location"] == f"/v1/jobs/{made.id}"
    original = client.jobs.get(done)
    assert (made.replays, made.spec, made.status, made.forked_from) == (done, original.spec, "queued", None)
    assert original.kept_steps == (0, 1) and original.replays is None and made.kept_steps == ()
    assert client.jobs.get(made.id).replays == done
    claim = bench.jobs.claim(made.id, "by hand", 600)
    assert claim is not None and claim.original is not None and claim.checkpoint == {}
    artifacts = {one.name: one.digest for one in original.artifacts}
    assert claim.original.report == artifacts.pop("report.json")
    assert claim.original.artifacts == artifacts and claim.original.status == "succeeded"


def test_a_replay_of_what_has_not_ended_or_is_deleted_meanwhile_has_nothing_to_be_compared_with(
    client: Pith, bench: Bench, job: str
) -> None:
    made, later = client.jobs.replay(job), client.jobs.replay(job)
    bench.learn_all()
    claim = bench.jobs.claim(made.id, "by hand", 600)
    assert claim is not None and claim.original is not None
    assert (claim.original.status, claim.original.report) == ("queued", None)
    client.jobs.cancel(job)
    client.jobs.delete(job)
    claim = bench.jobs.claim(later.id, "by hand", 600)
    assert claim is not None and claim.original is not None and claim.original.status == "deleted"


def test_what_is_sent_twice_under_a_key_is_made_once(client: Pith, done: str) -> None:
    key = os.urandom(8).hex()
    assert client.jobs.replay(done, key).id == client.jobs.replay(done, key).id != client.jobs.replay(done).id
    with pytest.raises(PithError, match="idempotency_key_reused"):
        client.jobs.fork(done, ForkSpec(from_step=1), key)
    other = os.urandom(8).hex()
    assert (
        client.jobs.fork(done, ForkSpec(from_step=1), other).id
        == client.jobs.fork(done, ForkSpec(from_step=1), other).id
    )
    with pytest.raises(PithError, match="idempotency_key_reused"):
        client.jobs.fork(done, ForkSpec(from_step=2), other)


def test_a_replay_whose_inputs_are_deleted_says_which(client: Pith, http: httpx.Client, done: str, model: str) -> None:
    client.models.delete(model)
    answer = http.post(f"/v1/jobs/{done}/replay")
    assert (answer.status_code, code(answer)) == (410, "gone") and model in detail(answer)
    answer = http.post(f"/v1/jobs/{done}/fork", json={"from_step": 1})
    assert (answer.status_code, code(answer)) == (410, "gone") and model in detail(answer)


def test_a_check_of_an_upload_is_neither_replayed_nor_forked(client: Pith, http: httpx.Client, model: str) -> None:
    check = client.models.get(model).check
    for answer in (http.post(f"/v1/jobs/{check}/replay"), http.post(f"/v1/jobs/{check}/fork", json={"from_step": 1})):
        assert (answer.status_code, code(answer)) == (409, "check_not_repeatable")
        assert f"POST /v1/models/{model}/check" in detail(answer)


def test_a_fork_takes_the_steps_before_it_and_runs_the_others(client: Pith, bench: Bench, done: str) -> None:
    asked = ForkSpec.model_validate({"from_step": 2, "recipe": [{"kind": "quantize.weight_only"}], "priority": "high"})
    made = client.jobs.fork(done, asked)
    assert made.forked_from is not None and (made.forked_from.job, made.forked_from.step) == (done, 2)
    old = client.jobs.get(done).spec
    assert [step.kind for step in made.spec.recipe] == ["prune.magnitude", "prune.magnitude", "quantize.weight_only"]  # type: ignore[union-attr]
    assert made.spec.recipe[:2] == old.recipe[:2] and made.spec.priority == "high"  # type: ignore[union-attr]
    assert made.kept_steps == (0, 1), "its spec asks for it too, so a fork of the fork may begin there"
    assert checkpoint(bench, made.id) == {
        "position.json": "position-1.json",
        "graph-1.pt2": "graph-1.pt2",
        "step-0.onnx": "step-0.onnx",
        "step-1.onnx": "step-1.onnx",
    }
    again = client.jobs.fork(made.id, ForkSpec(from_step=1, keep_steps=False))
    assert again.kept_steps == () and again.forked_from is not None and again.forked_from.job == made.id
    assert set(checkpoint(bench, again.id)) == {"position.json", "graph-0.pt2", "step-0.onnx"}


def test_a_fork_outlives_the_job_that_it_comes_from(client: Pith, bench: Bench, done: str) -> None:
    made = client.jobs.fork(done, ForkSpec(from_step=2, keep_steps=False))
    client.jobs.delete(done)
    assert checkpoint(bench, made.id)["position.json"] == "position-1.json"


def test_what_steps_have_left_is_deleted_with_the_job(
    client: Pith, http: httpx.Client, bench: Bench, model: str
) -> None:
    id = submitted(http, model)
    attempt = bench.start(id)
    before = len(list(bench.blobs.older_than(-10)))
    keep(bench, id, attempt, 0)
    keep(bench, id, attempt, 0)
    assert len(list(bench.blobs.older_than(-10))) == before + 3, "in the place of the first"
    bench.succeed(id, attempt)
    client.jobs.delete(id)
    assert len(list(bench.blobs.older_than(-10))) == before


def test_a_step_out_of_range_is_refused(http: httpx.Client, done: str) -> None:
    answer = http.post(f"/v1/jobs/{done}/fork", json={"from_step": 4})
    assert (answer.status_code, code(answer)) == (400, "step_out_of_range")
    assert "from_step is 4" in detail(answer) and "3 steps; name 1 to 3" in detail(answer)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/body/from_step"),
        ({"from_step": 0}, "/from_step"),
        ({"from_step": "1"}, "/from_step"),
        ({"from_step": 1, "seed": 3}, "/seed"),
        ({"from_step": 1, "recipe": [{"kind": "prune.nothing"}]}, "/recipe/0"),
        ({"from_step": 1, "recipe": [RECIPE[0]] * 32}, "/recipe"),
        ({"from_step": 1, "outputs": ["onnx", "onnx"]}, "/outputs"),
        ([], ""),
    ],
)
def test_a_malformed_fork_is_refused_with_its_place(http: httpx.Client, done: str, body: Any, pointer: str) -> None:
    answer = http.post(f"/v1/jobs/{done}/fork", json=body)
    assert (answer.status_code, code(answer)) == (422, "malformed_request"), answer.text
    assert answer.json()["errors"][0]["pointer"].endswith(pointer.removeprefix("/body"))


def refusal(http: httpx.Client, job: str, step: int, **more: Any) -> str:
    answer = http.post(f"/v1/jobs/{job}/fork", json={"from_step": step, **more})
    assert (answer.status_code, code(answer)) == (409, "step_not_kept"), answer.text
    return detail(answer)


def test_a_job_that_keeps_no_steps_is_not_forked(http: httpx.Client, bench: Bench, model: str) -> None:
    id = submitted(http, model, keep_steps=False)
    bench.succeed(id, bench.start(id))
    assert 'does not ask for it; send it again with "keep_steps": true' in refusal(http, id, 1)


def test_a_step_that_was_not_finished_is_not_forked_from(
    client: Pith, http: httpx.Client, bench: Bench, model: str
) -> None:
    id = submitted(http, model)
    attempt = bench.start(id)
    assert "that step is not finished yet; wait for its step_finished event" in refusal(http, id, 1)
    keep(bench, id, attempt, 0)
    assert client.jobs.fork(id, ForkSpec(from_step=1)).status == "queued", "the job need not have ended"
    problem = PithError("training_diverged", loss="nan", epoch=1, batch=1, learning_rate=1).problem
    assert bench.jobs.fail(id, attempt, problem)
    assert "it failed before that step was finished; fork it from step 1 or before" in refusal(http, id, 2)
    cancelled = submitted(http, model)
    client.jobs.cancel(cancelled)
    assert "it was cancelled before that step was finished; replay the job instead" in refusal(http, cancelled, 1)


def test_a_finished_graph_is_not_forked_from(http: httpx.Client, done: str) -> None:
    said = refusal(http, done, 3, recipe=[{"kind": "encode.entropy"}])
    assert "the model is a finished graph there; fork it from step 2 or before" in said


def test_the_order_is_that_of_the_whole_recipe(http: httpx.Client, done: str) -> None:
    recipe = [{"kind": "quantize.dynamic"}, {"kind": "prune.magnitude"}]
    answer = http.post(f"/v1/jobs/{done}/fork", json={"from_step": 2, "recipe": recipe})
    assert (answer.status_code, code(answer)) == (400, "recipe_order")
    assert "recipe[3] (prune.magnitude) cannot follow recipe[2]" in detail(answer)


def test_what_was_weighed_in_one_format_is_not_gone_on_with_in_another(http: httpx.Client, done: str) -> None:
    answer = http.post(f"/v1/jobs/{done}/fork", json={"from_step": 1, "outputs": ["safetensors"]})
    assert (answer.status_code, code(answer)) == (400, "fork_weighed_otherwise")
    assert "were weighed as onnx, and the fork would be weighed as safetensors" in detail(answer)


@pytest.mark.parametrize("what", ["replay", "fork"])
def test_a_job_that_is_not_there_or_deleted_is_neither(client: Pith, http: httpx.Client, done: str, what: str) -> None:
    body = {"json": {"from_step": 1}} if what == "fork" else {}
    assert code(http.post(f"/v1/jobs/{NOTHING}/{what}", **body)) == "not_found"
    client.jobs.delete(done)
    answer = http.post(f"/v1/jobs/{done}/{what}", **body)
    assert (answer.status_code, code(answer)) == (410, "gone") and done in detail(answer)


def test_quotas_hold_for_forks_and_replays_and_kept_steps_are_storage(client: Pith, done: str) -> None:
    used = client.me().usage
    kept = client.jobs.fork(done, ForkSpec(from_step=1))
    more = client.me().usage.storage_bytes - used.storage_bytes
    assert more > 0 and client.me().usage.jobs_unfinished == used.jobs_unfinished + 1
    try:
        client.projects.change(DEFAULT_PROJECT, ProjectChange(quotas=Quotas(storage_bytes=used.storage_bytes + more)))
        with pytest.raises(PithError, match=r"quota_exceeded.*bytes of storage"):
            client.jobs.fork(done, ForkSpec(from_step=1))
        assert client.jobs.fork(done, ForkSpec(from_step=1, keep_steps=False)).status == "queued"
        client.projects.change(DEFAULT_PROJECT, ProjectChange(quotas=Quotas(jobs_unfinished=1)))
        for ask in (lambda: client.jobs.replay(done), lambda: client.jobs.fork(done, ForkSpec(from_step=1))):
            with pytest.raises(PithError, match=r"quota_exceeded.*unfinished jobs"):
                ask()
    finally:
        client.projects.change(DEFAULT_PROJECT, ProjectChange(quotas=Quotas()))
        client.jobs.cancel(kept.id)
