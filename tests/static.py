#!/usr/bin/env python3
"""The program without libraries, alone in a directory: it finds names in /etc/hosts and by DNS, checks certificates, forwards,
and stops. Root, since the directory becomes its root and the network is one of its own (nothing leaves this machine)."""

import argparse
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

LINES = 200
NAMES = {"by-hosts.test": "in /etc/hosts", "by-dns.test": "by DNS"}
PATIENCE = 60

CONFIG = """\
data_dir: /data
inputs:
  app: {{ type: file, include: ["/app.log"] }}
outputs:
  main:
    type: kinesis
    stream_name: logs
    region: us-east-1
    endpoint: "https://{name}:4443"
    auth: {{ method: manual, access_key: x, secret_key: x }}
    backpressure: queue
    flush_period: 100ms
"""


def answer_names() -> None:
    """A name server that knows one name: an A record, and that there is no other."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    while True:
        query, client = server.recvfrom(512)
        end = query.index(b"\0", 12) + 5
        question, kind = query[12:end], query[end - 4 : end - 2]
        known = question.startswith(b"\x06by-dns\x04test\0")
        here = known and kind == b"\0\1"
        head = query[:2] + (b"\x81\x80" if known else b"\x81\x83") + b"\0\1" + (b"\0\1" if here else b"\0\0") + b"\0\0\0\0"
        record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if here else b""
        server.sendto(head + question + record, client)


def copy(source: socket.socket, target: socket.socket) -> None:
    """All bytes of one direction."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def speak_tls(directory: Path, port: int) -> None:
    """TLS in front of the endpoint."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    listener = socket.create_server(("127.0.0.1", 4443))
    while True:
        plain, _ = listener.accept()
        try:
            client = context.wrap_socket(plain, server_side=True)
        except OSError:
            continue
        endpoint = socket.create_connection(("127.0.0.1", port))
        for pair in (client, endpoint), (endpoint, client):
            threading.Thread(target=copy, args=pair, daemon=True).start()


def make_certificates(directory: Path) -> None:
    """An authority, and what it vouches for."""
    names = ",".join(f"DNS:{name}" for name in NAMES)
    (directory / "names").write_text(f"subjectAltName={names}\n")
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out server.csr",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
    ):
        subprocess.run(["openssl", *command.split()], cwd=directory, check=True, capture_output=True)


def forward(static: Path, directory: Path, name: str, events: Path) -> None:
    """One forwarder in a directory with nothing else in it."""
    root = directory / name
    (root / "etc").mkdir(parents=True)
    shutil.copy(static, root / "millpond")
    shutil.copy(directory / "ca.pem", root / "ca.pem")
    (root / "etc/hosts").write_text("127.0.0.1 by-hosts.test\n")
    (root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
    (root / "millpond.yaml").write_text(CONFIG.format(name=name))
    (root / "app.log").write_text("".join(f"{name} {number}\n" for number in range(LINES)))
    forwarder = subprocess.Popen([shutil.which("chroot"), root, "/millpond", "run", "--config", "/millpond.yaml"],
                                 env={"SSL_CERT_FILE": "/ca.pem"}, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + PATIENCE
    while events.read_text().count(f"{name} ") < LINES and time.monotonic() < until and forwarder.poll() is None:
        time.sleep(0.05)
    forwarder.send_signal(signal.SIGTERM)
    _, said = forwarder.communicate(timeout=PATIENCE)
    arrived = events.read_text().count(f"{name} ")
    if forwarder.returncode or arrived != LINES:
        sys.exit(f"FAIL static: {name}: {arrived} of {LINES} arrived, exit code {forwarder.returncode}; it says:\n{said}")
    print(f"ok   static: {LINES} events over TLS to a name found {NAMES[name]}")


def main() -> int:
    """Both names, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--static", type=Path, required=True, help="the `millpond` without libraries")
    parser.add_argument("--binary", type=Path, required=True, help="the `millpond` that plays the endpoint")
    args = parser.parse_args()
    if os.geteuid() or not all(map(shutil.which, ("unshare", "chroot", "ip", "openssl"))):
        print("skip static: needs root, and unshare, chroot, ip and openssl")
        return 1 if os.environ.get("CI") else 0
    if "MILLPOND_PRIVATE_NETWORK" not in os.environ:
        os.environ["MILLPOND_PRIVATE_NETWORK"] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        make_certificates(directory)
        events = directory / "events"
        events.touch()
        endpoint = subprocess.Popen([args.binary.resolve(), "local-kinesis", "--listen", "127.0.0.1:0", "--stream", "logs:2",
                                     "--write-events", events], stdout=subprocess.PIPE, text=True)
        try:
            port = int(endpoint.stdout.readline().rsplit(":", 1)[1])
            threading.Thread(target=answer_names, daemon=True).start()
            threading.Thread(target=speak_tls, args=(directory, port), daemon=True).start()
            for each in NAMES:
                forward(args.static.resolve(), directory, each, events)
        finally:
            endpoint.terminate()
            endpoint.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
