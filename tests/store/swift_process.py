"""A real S3-speaking server of the tests' own, OpenStack Swift, which can be killed and started again."""

import importlib.util
import os
import platform
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

ROOT = Path(__file__).parents[2]
ACCESS_KEY, SECRET_KEY = "test:tester", "testing"


class SwiftProcess:
    """It checks signatures. What it stores survives ``crash``."""

    def __init__(self) -> None:
        if platform.system() != "Linux" or importlib.util.find_spec("swift") is None:
            pytest.skip("OpenStack Swift is not installed, or runs not here: no S3 server")
        self.folder = Path(tempfile.mkdtemp(prefix="pith-swift-"))
        _skip_without_attributes(self.folder)
        self.start()

    def start(self) -> None:
        """Again after ``crash``: on the same port, with the same objects."""
        command = [sys.executable, "-W", "ignore", "-m", "tests.store.swift_server", str(self.folder)]
        log = self.folder / "log"
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
            )
        assert self._process.stdout is not None
        said = self._process.stdout.readline().split()
        assert said[:1] == ["ready"], log.read_text()
        self.url = f"http://127.0.0.1:{said[1]}"

    def crash(self) -> None:
        """All its processes, at once."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def stop(self) -> None:
        """It keeps its connections, and answers nothing."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def carry_on(self) -> None:
        os.killpg(self._process.pid, signal.SIGCONT)

    def client(self) -> Any:
        """The official client."""
        config = Config(signature_version="s3v4", s3={"addressing_style": "path"})
        keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}
        return boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", config=config, **keys)

    def create_bucket(self) -> str:
        """The name of a new bucket."""
        name = f"pith-{secrets.token_hex(6)}"
        self.client().create_bucket(Bucket=name)
        return name

    def settings(self, bucket: str) -> dict[str, str]:
        """As fields of ``Settings``."""
        return {
            "blob_url": f"s3://{bucket}/a/prefix",
            "s3_endpoint_url": self.url,
            "s3_region": "us-east-1",
            "s3_access_key_id": ACCESS_KEY,
            "s3_secret_access_key": SECRET_KEY,
        }

    def environment(self, bucket: str) -> dict[str, str]:
        return {f"PITH_{name.upper()}": value for name, value in self.settings(bucket).items()}

    def close(self) -> None:
        if self._process.poll() is None:
            self.crash()
        shutil.rmtree(self.folder, ignore_errors=True)


def _skip_without_attributes(folder: Path) -> None:
    """Swift keeps what it knows of an object beside it."""
    try:
        os.setxattr(folder, "user.pith", b"1")
    except OSError as error:
        shutil.rmtree(folder)
        pytest.skip(f"the file system of {folder} keeps no attributes ({error.strerror}): no S3 server")
