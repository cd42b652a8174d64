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
from tls import Authority, Certificate

REGION = "us-east-1"
NAMES = ("kinesis-local", "moto", "embedded")
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

    def __init__(self, name: str, port: int, process: subprocess.Popen, log: Path, host: str = "127.0.0.1") -> None:
        self.name, self.address, self.process, self.log = name, (host, port), process, log
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self.tls_url: str | None = None
        self.authority: Authority | None = None

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


def start(name: str, directory: Path, binary: str, work: Path, settings: dict | None = None, host: str = "127.0.0.1") -> Endpoint:
    """Starts `kinesis-local`, `moto` or the binary's own `embedded` endpoint, and waits until it answers.

    `settings` are environment variables of kinesis-local; `work` is where its log and the like are.
    """
    for number in range(START_TRIES):
        endpoint = launch(name, directory, binary, work, settings or {}, host)
        if answers(endpoint):
            return endpoint
        endpoint.stop()
        print(f"# {name}: no answer at {endpoint.url} (try {number + 1} of {START_TRIES}), log: {endpoint.log}")
    raise RuntimeError(f"{name} does not start:\n{tail(endpoint.log)}")


def launch(name: str, directory: Path, binary: str, work: Path, settings: dict, host: str) -> Endpoint:
    """Starts the process."""
    plain, tls = free_ports(2)
    environment = os.environ.copy()
    environment["MOTO_PORT"] = str(plain)
    work.mkdir(parents=True, exist_ok=True)
    authority = None
    if name == "kinesis-local":
        authority = Authority(work / "authority", "authority")
        command = ["node", str(directory / "node_modules" / "kinesis-local" / "main.js")]
        environment |= {
            "KINESIS_MOCK_CERT_PATH": str(certificate(authority).kinesis_local()),
            "KINESIS_MOCK_PLAIN_PORT": str(plain), "KINESIS_MOCK_TLS_PORT": str(tls),
            "CREATE_STREAM_DURATION": "50ms", "SPLIT_SHARD_DURATION": "50ms",
            "MERGE_SHARDS_DURATION": "50ms", "SHARD_LIMIT": "5000", "LOG_LEVEL": "WARN"} | settings
    elif name == "embedded":
        listen = f"[{host}]:{plain}" if ":" in host else f"{host}:{plain}"
        command = [binary, "local-kinesis", "--listen", listen, "--stream", "unused:1"]
    else:
        command = [sys.executable, str(Path(__file__).with_name("moto_front.py")), str(plain)]
    log = work / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=work)
    endpoint = Endpoint(name, plain, process, log, host)
    if authority:
        endpoint.tls_url, endpoint.authority = f"https://127.0.0.1:{tls}", authority
    return endpoint


def certificate(authority: Authority) -> Certificate:
    """A good one for what runs here."""
    return authority.issue("server", ["localhost", "127.0.0.1"])


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
