from pathlib import Path

import pytest
from pydantic import ValidationError

from store.settings import Settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PITH_{name.upper()}", raising=False)


def test_everything_lies_in_the_data_folder_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PITH_DATA_DIR", str(tmp_path))
    settings = Settings()
    assert settings.database_url == f"sqlite:///{tmp_path}/pith.db"
    assert settings.blob_url == f"file://{tmp_path}/blobs"
    assert settings.redis_url is None


def test_a_relative_data_folder_does_not_move_with_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings().data_dir == tmp_path / ".data"


def test_settings_come_from_the_environment_and_do_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PITH_LEASE_SECONDS", "70")
    settings = Settings()
    assert settings.lease_seconds == 70
    with pytest.raises(ValidationError, match="frozen"):
        settings.lease_seconds = 8  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("database_url", "mysql://u:hunter2@h/d", "only sqlite and postgresql are served"),
        ("database_url", "sqlite://", "several processes must share the database"),
        ("database_url", "sqlite:///:memory:", "several processes must share the database"),
        ("database_url", "hunter2", "is no database URL"),
        ("redis_url", "amqp://u:hunter2@h", "it takes redis, rediss, redis\\+socket, filesystem"),
        ("blob_url", "gs://hunter2/b", "write file:///FOLDER or s3://BUCKET/PREFIX"),
        ("blob_url", "file://relative", "write file:///FOLDER or s3://BUCKET/PREFIX"),
        ("blob_url", "s3://", "names no bucket"),
        ("blob_url", "s3://key:hunter2@host/b", "names no bucket"),
        ("s3_endpoint_url", "hunter2", "is no address of a server; write https://HOST or http://HOST:PORT"),
        ("s3_endpoint_url", "https://u:hunter2@h", "is no address of a server"),
        ("s3_access_key_id", "hunter2", "PITH_S3_ACCESS_KEY_ID and PITH_S3_SECRET_ACCESS_KEY go together"),
        ("s3_secret_access_key", "hunter2", "PITH_S3_ACCESS_KEY_ID and PITH_S3_SECRET_ACCESS_KEY go together"),
        ("lease_seconds", "0", "greater than 0"),
        ("max_attempts", "0", "greater than or equal to 1"),
        ("heartbeat_seconds", "60", "must be shorter than PITH_LEASE_SECONDS"),
    ],
)
def test_what_cannot_work_is_refused_at_the_start_and_no_password_is_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(f"PITH_{name.upper()}", value)
    with pytest.raises(ValidationError, match=sentence) as refused:
        Settings()
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_url", "postgresql://u:p@h/d"),
        ("database_url", "sqlite:////tmp/x.db"),
        ("redis_url", "redis://h:6379/0"),
        ("redis_url", "redis+socket://:p@/tmp/s"),
        ("redis_url", "filesystem:///tmp/q"),
        ("blob_url", "file:///tmp/b"),
    ],
)
def test_what_can_work_is_taken(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"PITH_{name.upper()}", value)
    assert getattr(Settings(), name) == value
