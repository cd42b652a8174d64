"""Starts the independent implementations of Kinesis, and our own, on free ports of 127.0.0.1."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

REGION = "us-east-1"
START_SECONDS_MAX = 60
START_TRIES = 3


def free_ports(count: int) -> list[int]:
    """Ports that nobody listened on a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Endpoint:
    """A running server, and how to reach it."""

    def __init__(self, name: str, url: str, process: subprocess.Popen, log: Path) -> None:
        self.name, self.url, self.process, self.log = name, url, process, log

    def client(self, service: str = "kinesis", access_key: str = "AKIDINTEROP", secret_key: str = "interop-secret"):
        """A boto3 client for it; by default with credentials that no check minds."""
        return boto3.client(
            service, endpoint_url=self.url, region_name=REGION,
            aws_access_key_id=access_key, aws_secret_access_key=secret_key,
            config=Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 3}, proxies={}))

    def stop(self) -> None:
        """Ends the server."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(name: str, directory: Path, binary: str) -> Endpoint:
    """Starts `kinesis-local`, `moto` or the binary's own `embedded` endpoint, and waits until it answers."""
    for number in range(START_TRIES):
        endpoint = launch(name, directory, binary)
        if answers(endpoint):
            return endpoint
        endpoint.stop()
        print(f"# {name}: no answer at {endpoint.url} (try {number + 1} of {START_TRIES}), log: {endpoint.log}")
    raise RuntimeError(f"{name} does not start:\n{tail(endpoint.log)}")


def launch(name: str, directory: Path, binary: str) -> Endpoint:
    """Starts the process."""
    plain, tls = free_ports(2)
    environment = os.environ.copy()
    if name == "kinesis-local":
        package = directory / "node_modules" / "kinesis-local"
        command = ["node", str(package / "main.js")]
        environment |= {
            "KINESIS_MOCK_CERT_PATH": str(package / "server.json"),
            "KINESIS_MOCK_PLAIN_PORT": str(plain), "KINESIS_MOCK_TLS_PORT": str(tls),
            "CREATE_STREAM_DURATION": "50ms", "SPLIT_SHARD_DURATION": "50ms",
            "MERGE_SHARDS_DURATION": "50ms", "LOG_LEVEL": "WARN"}
    elif name == "embedded":
        command = [binary, "local-kinesis", "--listen", f"127.0.0.1:{plain}", "--stream", "unused:1"]
    else:
        command = [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(plain)]
    work = directory / "work"
    work.mkdir(parents=True, exist_ok=True)
    log = work / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=work)
    return Endpoint(name, f"http://127.0.0.1:{plain}", process, log)


def answers(endpoint: Endpoint) -> bool:
    """Waits until the server lists its streams."""
    client = endpoint.client()
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and endpoint.process.poll() is None:
        try:
            client.list_streams()
            return True
        except (BotoCoreError, ClientError):
            time.sleep(0.2)
    return False


def moto_checks(endpoint: Endpoint, on: bool) -> None:
    """Turns moto's checks of signatures and policies on or off."""
    body = b"0" if on else b"1000000000"
    request = urllib.request.Request(f"{endpoint.url}/moto-api/reset-auth", data=body, headers={"Content-Type": "text/plain"})
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).read()


def tail(path: Path, lines: int = 12) -> str:
    """The end of a log."""
    text = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
    return "\n".join(f"    | {line[:300]}" for line in text[-lines:])
