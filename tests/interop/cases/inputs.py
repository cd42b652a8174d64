"""Events that come by programs this project did not write: curl, and Python's HTTP client."""

import gzip
import http.client
import json
import subprocess
import urllib.request
from pathlib import Path

from bench import GZIP, QUEUE, Bench, Case, lines_of
from endpoints import free_ports
from forwarder import Failed
from proof import expected_text
from stream import Stream
from tls import Authority

LINES_A_BODY = 500
TOKEN = "lee-shore-4"


def listen(bench: Bench, **settings) -> tuple[int, Stream]:
    """Starts the forwarder with an input `http`; where it listens, and where its events go."""
    [port] = free_ports(1)
    stream = bench.stream(2)
    web = {"type": "http", "listen": f"127.0.0.1:{port}"} | settings
    bench.configure_inputs(stream, {"web": web}, GZIP, QUEUE)
    bench.forwarder.start()
    bench.hear("listening")
    return port, stream


def bodies(path: Path) -> list[bytes]:
    """The lines of a file, some at a time."""
    lines = lines_of(path)
    return [b"".join(line + b"\n" for line in lines[at:at + LINES_A_BODY]) for at in range(0, len(lines), LINES_A_BODY)]


def accepted(answer: bytes, lines: int) -> None:
    """Every answer says how many events were taken."""
    if json.loads(answer) != {"accepted": lines}:
        raise Failed(f"{lines} events were sent, and the answer is {answer!r}")


def by_curl(bench: Bench) -> None:
    """Lines over TLS with a token, plain, gzip, and in chunks; curl asks before it sends a large body."""
    authority = Authority(bench.directory, "inputs")
    certificate = authority.issue("edge", ["127.0.0.1"])
    port, stream = listen(bench, token=TOKEN, tls={"cert_file": str(certificate.certificate), "key_file": str(certificate.key)})
    path = bench.fixtures / "shop.log"
    for number, body in enumerate(bodies(path)):
        how = [["-H", "Content-Encoding: gzip"], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]][number % 3]
        sent = gzip.compress(body) if number % 3 == 0 else body
        done = subprocess.run(
            ["curl", "-sS", "--fail-with-body", "--cacert", str(authority.ca_file), "-H", f"Authorization: Bearer {TOKEN}",
             "-H", "Content-Type: text/plain", *how, "--data-binary", "@-", f"https://127.0.0.1:{port}/"],
            input=sent, capture_output=True, timeout=60)
        if done.returncode != 0:
            raise Failed(f"curl ended with {done.returncode}: {done.stderr.decode()[:300]} {done.stdout.decode()[:300]}")
        accepted(done.stdout, body.count(b"\n"))
    bench.finish(stream, "gzip", expected_text(f"http://127.0.0.1:{port}", lines_of(path)))


def by_python(bench: Bench) -> None:
    """JSON objects by urllib as NDJSON, and by http.client over one connection as arrays; all arrive to the byte."""
    port, stream = listen(bench)
    path = bench.fixtures / "engine.ndjson"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for number, body in enumerate(bodies(path)):
        lines = body.count(b"\n")
        if number % 2:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/", body, {"Content-Type": "application/x-ndjson"})
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            accepted(opener.open(request, timeout=60).read(), lines)
        else:
            array = b"[" + b",\n".join(body.splitlines()) + b"]"
            connection.request("POST", "/", array, {"Content-Type": "application/json"})
            accepted(connection.getresponse().read(), lines)
    connection.close()
    bench.finish(stream, "gzip", lines_of(path), codec="json")


CASES = [
    Case("http by curl", by_curl, ("embedded",), ("curl",)),
    Case("http by python", by_python, ("embedded",)),
]
