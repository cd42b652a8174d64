"""Runs `millpond run` on a configuration of its own, and stops it as a service manager would."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import yaml

from endpoints import REGION, Endpoint, tail

# The shutdown time-out is 10 s by default; more than that is a hang.
STOP_SECONDS_MAX = 20


class Failed(Exception):
    """A test failed; the text says why."""


class Skipped(Exception):
    """A test cannot run on this machine; the text says why."""


class Forwarder:
    """A configuration, its directory, and the process when it runs."""

    def __init__(self, binary: str, directory: Path) -> None:
        self.binary, self.directory = binary, directory
        self.config = directory / "millpond.yaml"
        self.log = directory / "millpond.log"
        self.process: subprocess.Popen | None = None
        self.log_start = 0

    def configure(self, endpoint: Endpoint, stream: str, inputs: dict, output: dict, secrets: dict | None = None) -> None:
        """Writes the configuration: one output, what `output` says goes over what is usual."""
        usual = {
            "type": "kinesis", "stream_name": stream, "region": REGION, "endpoint": endpoint.url,
            "auth": {"method": "manual", "access_key": "AKIDINTEROP", "secret_key": "interop-secret"},
            "flush_period": "200ms"}
        config = {"data_dir": str(self.directory / "data"), "secrets": secrets or {}, "inputs": inputs,
                  "outputs": {"main": usual | output}}
        self.config.write_text(yaml.safe_dump(config, sort_keys=False))

    def start(self, stdin=subprocess.DEVNULL, environment: dict | None = None) -> None:
        """Starts it, with these variables more; proxies and credentials of this machine are kept from it."""
        command = [self.binary, "run", "--config", str(self.config)]
        with self.log.open("ab") as log:
            log.write(f"--- {' '.join(command)}\n".encode())
            log.flush()
            self.log_start = log.tell()
            self.process = subprocess.Popen(
                command, stdin=stdin, stdout=log, stderr=log, env=self.environment() | (environment or {}), cwd=self.directory)

    def environment(self) -> dict:
        """This machine's, but for what would change what is tested."""
        kept = {name: value for name, value in os.environ.items()
                if not name.upper().endswith("_PROXY") and not name.startswith(("AWS_", "SSL_CERT_"))}
        return kept | {"RUST_BACKTRACE": "0"}

    def policies(self) -> list[dict]:
        """What `check --iam-policy` prints for the configuration: identities with their policies."""
        command = [self.binary, "check", "--iam-policy", "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, timeout=STOP_SECONDS_MAX, env=self.environment(), cwd=self.directory)
        if done.returncode != 0:
            raise Failed(f"check --iam-policy ended with exit code {done.returncode}: {done.stderr.decode()[:500]}")
        document = json.loads(done.stdout)
        return document.get("identities") or [{"identity": "the credentials of output main", "policy": document}]

    def said(self) -> str:
        """What it has said since it was started last."""
        with self.log.open("rb") as log:
            log.seek(self.log_start)
            return log.read().decode("utf-8", "replace")

    def ended(self) -> bool:
        """Whether the process is gone."""
        return self.process is not None and self.process.poll() is not None

    def stop(self) -> None:
        """SIGTERM; it has to end by itself, with exit code 0."""
        if self.ended():
            raise Failed(f"millpond ended before it was told to, exit code {self.process.returncode}")
        self.process.send_signal(signal.SIGTERM)
        self.wait("after SIGTERM", STOP_SECONDS_MAX)

    def wait(self, when: str, seconds: float) -> None:
        """Waits for its end, which must be with exit code 0."""
        started = time.monotonic()
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"millpond still runs {seconds:.0f} s {when}") from None
        self.process = None
        if code != 0:
            raise Failed(f"millpond ended with exit code {code} {time.monotonic() - started:.1f} s {when}")

    def repeats(self, answers_get_lost: bool) -> int:
        """Events that it says it sent again, if that was because an answer did not come (in time); else none may be."""
        log = self.log.read_text("utf-8", "replace")
        if not answers_get_lost and 'code="timeout"' not in log:
            return 0
        return sum(map(int, re.findall(r"forwarded in all .*?\brepeated=(\d+)", log)))

    def kill(self) -> None:
        """Ends a process that is still there, whatever it does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def story(self) -> str:
        """What a person wants to see when a test failed."""
        return f"    configuration {self.config}, log {self.log}, which ends:\n{tail(self.log)}"
