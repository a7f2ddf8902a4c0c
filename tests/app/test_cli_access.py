"""`pith keys`, `pith projects`, `pith webhooks` and `pith me`, against a service that asks for keys."""

import json
import sys
from collections.abc import Callable, Iterator

import pytest

from pith.access import DEFAULT_PROJECT, USUAL
from pith.cli import main
from tests.app.api_process import ApiProcess, running

OPERATOR = "an-operator-s-key-of-more-than-32-letters"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    data = tmp_path_factory.mktemp("cli") / "data"
    with running(data, PITH_REQUIRE_KEYS=True, PITH_OPERATOR_KEY=OPERATOR) as process:
        yield process


@pytest.fixture
def pith(guarded: ApiProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `pith …` in this process with that key: its exit code, stdout and stderr."""

    def run(*words: object, key: str | None = OPERATOR) -> tuple[int, str, str]:
        monkeypatch.setenv("PITH_URL", guarded.url)
        monkeypatch.setenv("PITH_API_KEY", key) if key is not None else monkeypatch.delenv("PITH_API_KEY", False)
        monkeypatch.setattr(sys, "argv", ["pith", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out, said.err

    return run


def test_without_a_key_it_says_which_variable_holds_one(pith: Run) -> None:
    code, out, err = pith("models", "list", key=None)
    assert (code, out) == (1, "") and "PITH_API_KEY" in err
    code, _, err = pith("models", "list", key="pith_nonsense")
    assert code == 1 and "none of this service's keys" in err and "nonsense" not in err


@pytest.mark.parametrize("key", ["", " ", "a b", "schlüssel", "a\nb"])
def test_what_no_header_can_hold_is_refused_and_not_repeated(pith: Run, key: str) -> None:
    code, _, err = pith("me", key=key)
    assert code == 1 and "PITH_API_KEY" in err and (not key.strip() or key not in err)


def test_a_key_is_made_used_listed_and_revoked(pith: Run) -> None:
    code, secret, err = pith("keys", "create", "ci", "--days", 30)
    assert code == 0 and secret.startswith("pith_") and secret.count("\n") == 1
    assert "may read, upload, jobs, delete" in " ".join(err.split()) and secret.strip() not in err
    shown = json.loads(pith("me", "--json", key=secret.strip())[1])
    assert (shown["name"], shown["scopes"], shown["project"]["id"]) == ("ci", list(USUAL), DEFAULT_PROJECT)
    listed = json.loads(pith("keys", "list", "--json")[1])
    (mine,) = [key for key in listed if key["id"] == shown["key"]]
    assert mine["expires_at"] is not None and "secret" not in mine and secret.startswith(mine["begins"])
    assert secret.strip() not in pith("keys", "list")[1]
    code, _, err = pith("keys", "list", key=secret.strip())
    assert code == 1 and "needs the scope admin" in err
    assert pith("keys", "revoke", mine["id"])[0] == 0
    assert pith("me", key=secret.strip())[0] == 1


def test_a_project_is_made_bounded_and_deleted(pith: Run) -> None:
    code, out, _ = pith("projects", "create", "vision", "--jobs-at-once", 2, "--json")
    project = json.loads(out)
    assert (code, project["quotas"]["jobs_at_once"]) == (0, 2)
    changed = json.loads(pith("projects", "set", project["id"], "--storage-bytes", 10, "--json")[1])
    assert (changed["quotas"]["jobs_at_once"], changed["quotas"]["storage_bytes"]) == (2, 10)
    freed = json.loads(pith("projects", "set", project["id"], "--unlimited", "--name", "v", "--json")[1])
    assert freed["name"] == "v" and not any(freed["quotas"].values())
    _, secret, _ = pith("keys", "create", "theirs", "--project", project["id"], "--read-only")
    assert project["id"] in pith("me", key=secret.strip())[1]
    assert project["id"] in pith("projects", "list")[1] and "v" in pith("projects", "show", project["id"])[1]
    assert pith("projects", "delete", project["id"]) == (0, "", f"Deleted {project['id']}.\n")
    assert pith("me", key=secret.strip())[0] == 1


def test_a_webhook_is_made_tried_changed_and_deleted(pith: Run) -> None:
    code, secret, err = pith("webhooks", "create", "https://example.org/hook", "--event", "job.failed")
    assert code == 0 and secret.startswith("whsec_") and "of job.failed" in " ".join(err.split())
    (webhook,) = json.loads(pith("webhooks", "list", "--json")[1])
    assert webhook["events"] == ["job.failed"] and "secret" not in webhook
    sent = json.loads(pith("webhooks", "test", webhook["id"], "--json")[1])
    assert sent["status"] == "pending"
    assert sent["id"] in pith("webhooks", "deliveries", webhook["id"])[1]
    assert json.loads(pith("webhooks", "resend", webhook["id"], sent["id"], "--json")[1])["id"] == sent["id"]
    assert pith("webhooks", "rotate", webhook["id"])[1] not in ("", secret)
    assert "False" in pith("webhooks", "change", webhook["id"], "--disable")[1]
    code, _, err = pith("webhooks", "test", webhook["id"])
    assert code == 1 and "is disabled" in err
    assert pith("webhooks", "delete", webhook["id"])[0] == 0
    assert json.loads(pith("webhooks", "list", "--json")[1]) == []
    code, _, err = pith("webhooks", "create", "ftp://x")
    assert code == 1 and "/url: should be an address such as https://example.org/hook" in err and "Traceback" not in err
