#!/usr/bin/env python3
"""Forwards 150 MB of log lines through outages, kills and faults, and counts what arrives.

    make acceptance                                   everything, some six minutes
    tests/acceptance.py --only 'outage, always' --seed 7

Needs the release binary and Python 3, nothing else. Exit 0: nothing was missing, nothing arrived that was not sent,
clean runs repeated nothing, and the forwarder's memory stayed below its limit.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
MEMORY_BYTES_MAX = 64_000_000
# Longer than the forwarder ever waits before it tries again.
STALL_SECONDS_MAX = 90
OUTAGE_SECONDS = 20
FAULT_SECONDS = 10
STRUCK_SECONDS = 3
POLL_SECONDS = 0.05

# What the endpoint does, and what the forwarder's log must say about it in words.
FAULTS = [
    ("empty", r"sequence number|empty answer|not from Kinesis|not an answer"),
    ("portal", r"HTML|portal|not from Kinesis"),
    ("denied", r"AccessDenied|not allowed|may not|permission"),
    ("throttle:0.4", r"throttl|ProvisionedThroughput|too fast|capacity"),
    ("reset", r"reset|connection|closed"),
]


class Failed(Exception):
    """A scenario failed; the text says why."""


class Lines:
    """Numbered lines: the number tells which of the real lines it carries."""

    def __init__(self, directory: Path, total_bytes: int) -> None:
        texts = b"\n".join(path.read_bytes() for path in sorted(directory.iterdir()) if path.suffix in (".log", ".ndjson"))
        self.patterns = [line for line in (decoded(line) for line in texts.split(b"\n")) if line and len(line) < 10_000]
        if not self.patterns:
            raise SystemExit(f"{directory} has no log lines in *.log or *.ndjson")
        average = sum(len(line.encode()) + 11 for line in self.patterns) / len(self.patterns)
        self.count = int(total_bytes / average)

    def line(self, number: int) -> str:
        """The line with this number."""
        return f"{number:09} {self.patterns[number % len(self.patterns)]}"

    def write(self, path: Path, first: int, last: int) -> None:
        """Appends the lines from first to last - 1 to a file."""
        with path.open("a", encoding="utf-8", newline="\n") as file:
            for start in range(first, last, 10_000):
                file.write("".join(self.line(number) + "\n" for number in range(start, min(start + 10_000, last))))


def decoded(line: bytes) -> str | None:
    """A line of the patterns, if it is plain UTF-8."""
    try:
        text = line.strip(b"\r").decode()
    except UnicodeDecodeError:
        return None
    return None if "\r" in text else text


class Ledger:
    """What has arrived: how often each number, and what was wrong."""

    def __init__(self, lines: Lines, path: Path) -> None:
        self.lines, self.path = lines, path
        self.times = bytearray(lines.count)
        self.arrived = self.distinct = 0
        self.wrong: list[str] = []
        self.position = 0
        self.rest = b""

    def read_on(self) -> None:
        """Reads what the endpoint wrote since the last time."""
        with self.path.open("rb") as file:
            file.seek(self.position)
            while block := file.read(8 << 20):
                self.position += len(block)
                *whole, self.rest = (self.rest + block).split(b"\n")
                for event in whole:
                    self.note(event)

    def note(self, event: bytes) -> None:
        """One event."""
        self.arrived += 1
        try:
            raw = json.loads(event)["_raw"]
            number = int(raw[:9])
            right = number < self.lines.count and raw == self.lines.line(number)
        except (ValueError, KeyError, TypeError):
            right = False
        if not right:
            self.wrong.append(event[:200].decode("utf-8", "replace"))
            return
        if self.times[number] == 0:
            self.distinct += 1
        self.times[number] = min(255, self.times[number] + 1)

    @property
    def missing(self) -> int:
        """Lines that have not arrived."""
        return self.lines.count - self.distinct

    @property
    def repeated(self) -> int:
        """Events that arrived again."""
        return self.arrived - self.distinct - len(self.wrong)


class Endpoint:
    """`millpond local-kinesis`, which writes the events that it accepts to a file."""

    def __init__(self, binary: Path, directory: Path) -> None:
        self.events = directory / "events.ndjson"
        self.events.touch()
        self.control = f"http://127.0.0.1:{free_port()}"
        command = [binary, "local-kinesis", "--listen", "127.0.0.1:0", "--control-listen", self.control.removeprefix("http://"),
                   "--stream", "acceptance:4", "--count-only", "--write-events", self.events]
        with (directory / "endpoint.log").open("wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        first = self.process.stdout.readline()
        match = re.search(r"https?://\S+", first)
        if not match:
            raise Failed(f"the endpoint did not say where it listens: {first!r}, log {directory / 'endpoint.log'}")
        self.url = match.group()

    def ask(self, method: str, path: str, body: str = "") -> str:
        """A request to `/_local/`."""
        request = urllib.request.Request(f"{self.control}/_local/{path}", data=body.encode() or None, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return answer.read().decode()

    def accepted(self) -> int:
        """Events that it has accepted so far."""
        return json.loads(self.ask("GET", "counts"))["events"]

    def struck(self) -> bool:
        """Whether the fault that is on has struck something."""
        return any(fault["hits"] for fault in json.loads(self.ask("GET", "faults")))

    def stop(self) -> None:
        """Ends it."""
        end(self.process)


class Forwarder:
    """`millpond run`, watched for its memory."""

    def __init__(self, binary: Path, directory: Path, endpoint: Endpoint, backpressure: dict) -> None:
        self.binary, self.directory = binary, directory
        self.config = directory / "millpond.yaml"
        self.log = directory / "millpond.log"
        self.memory_bytes = 0
        output = {"type": "kinesis", "stream_name": "acceptance", "region": "us-east-1", "endpoint": endpoint.url,
                  "auth": {"method": "manual", "access_key": "AKID", "secret_key": "secret"}} | backpressure
        # JSON is YAML, and Python has no YAML of its own.
        self.config.write_text(json.dumps({
            "data_dir": str(directory / "data"),
            "inputs": {"lines": {"type": "file", "include": [str(directory / "input" / "*.log")]}},
            "outputs": {"main": output}}, indent=2))
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Starts it, and a thread that looks at its memory until it ends."""
        environment = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY") and not name.startswith("AWS_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([self.binary, "run", "--config", self.config], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=environment, cwd=self.directory)
        threading.Thread(target=self.watch, args=(self.process,), daemon=True).start()

    def watch(self, process: subprocess.Popen) -> None:
        """Remembers the largest resident set of the process."""
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            try:
                peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
            except OSError:
                return
            if peak:
                self.memory_bytes = max(self.memory_bytes, int(peak.group(1)) * 1024)
            time.sleep(0.1)

    def kill_and_start(self) -> None:
        """kill -9, and at once again."""
        self.process.kill()
        self.process.wait()
        self.start()

    def stop(self) -> None:
        """SIGTERM; the end must be clean."""
        self.alive()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            raise Failed("the forwarder still runs 30 s after SIGTERM") from None
        if code != 0:
            raise Failed(f"after SIGTERM the forwarder ended with exit code {code}")

    def alive(self) -> None:
        """Fails when it ended by itself."""
        if self.process.poll() is not None:
            raise Failed(f"the forwarder ended by itself, exit code {self.process.returncode}")

    def log_bytes(self) -> int:
        """How long its log is."""
        return self.log.stat().st_size


class Drill:
    """One scenario's things, in a directory of their own."""

    def __init__(self, options: argparse.Namespace, lines: Lines, name: str, backpressure: dict) -> None:
        self.lines = lines
        self.dice = random.Random(options.seed)
        self.directory = options.directory / re.sub("[^a-z0-9]+", "-", name)
        shutil.rmtree(self.directory, ignore_errors=True)
        (self.directory / "input").mkdir(parents=True)
        self.input = self.directory / "input" / "lines.log"
        self.endpoint = Endpoint(options.endpoint_binary or options.binary, self.directory)
        self.ledger = Ledger(lines, self.endpoint.events)
        self.forwarder = Forwarder(options.binary, self.directory, self.endpoint, backpressure)

    def wait_accepted(self, events: int) -> None:
        """Waits until the endpoint has accepted so many events; fails when none comes for long."""
        best, deadline = -1, 0.0
        while (accepted := self.endpoint.accepted()) < events:
            self.forwarder.alive()
            if accepted > best:
                best, deadline = accepted, time.monotonic() + STALL_SECONDS_MAX
            if time.monotonic() > deadline:
                raise Failed(f"no event for {STALL_SECONDS_MAX} s, {accepted} of {events} are accepted")
            time.sleep(POLL_SECONDS)

    def finish(self, repeats: bool) -> str:
        """Waits until nothing is missing, stops, and holds everything against what was sent; a summary."""
        self.wait_accepted(self.lines.count)
        deadline = time.monotonic() + STALL_SECONDS_MAX
        self.ledger.read_on()
        while self.ledger.missing and not self.ledger.wrong and time.monotonic() < deadline:
            time.sleep(0.5)
            self.ledger.read_on()
        self.forwarder.stop()
        self.endpoint.ask("POST", "flush")
        self.ledger.read_on()
        malformed = json.loads(self.endpoint.ask("GET", "counts"))["malformed_records"]
        ledger, memory = self.ledger, self.forwarder.memory_bytes
        summary = (f"{self.lines.count} lines, {ledger.arrived} events, {ledger.missing} missing, {ledger.repeated} repeated, "
                   f"memory at most {memory / 1e6:.0f} MB")
        problems = [
            (ledger.missing, "events are missing"),
            (ledger.wrong, f"events arrived that were not sent, as {ledger.wrong[:1]}"),
            (malformed, f"{malformed} records are malformed"),
            (ledger.repeated and not repeats, "events were repeated although nothing was killed"),
            (memory > MEMORY_BYTES_MAX, f"memory is above {MEMORY_BYTES_MAX / 1e6:.0f} MB"),
        ]
        wrong = [text for found, text in problems if found]
        if wrong:
            raise Failed(f"{', '.join(wrong)}: {summary}")
        return summary

    def close(self) -> None:
        """Ends what still runs."""
        if self.forwarder.process:
            end(self.forwarder.process)
        self.endpoint.stop()


def steady(drill: Drill) -> str:
    """A healthy link."""
    drill.lines.write(drill.input, 0, drill.lines.count)
    began = time.monotonic()
    drill.forwarder.start()
    drill.wait_accepted(drill.lines.count)
    seconds = time.monotonic() - began
    return f"{drill.finish(repeats=False)}, {drill.input.stat().st_size / 1e6 / seconds:.0f} MB/s"


def outage(drill: Drill) -> str:
    """The endpoint is down for 20 s in the middle; the forwarder is killed five times: before, during and after."""
    drill.lines.write(drill.input, 0, drill.lines.count)
    drill.forwarder.start()
    kills = sorted(drill.dice.uniform(0.5, OUTAGE_SECONDS - 0.5) for _ in range(3))
    drill.wait_accepted(int(drill.lines.count * drill.dice.uniform(0.02, 0.15)))
    drill.forwarder.kill_and_start()
    drill.wait_accepted(int(drill.lines.count * 0.3))
    drill.endpoint.ask("POST", "faults", f"down,for={OUTAGE_SECONDS}s")
    began = time.monotonic()
    for kill in kills:
        time.sleep(max(0.0, began + kill - time.monotonic()))
        drill.forwarder.alive()
        drill.forwarder.kill_and_start()
    time.sleep(max(0.0, began + OUTAGE_SECONDS - time.monotonic()))
    last = drill.endpoint.accepted()
    drill.wait_accepted(last + int((drill.lines.count - last) * drill.dice.uniform(0.05, 0.5)))
    drill.forwarder.kill_and_start()
    drill.wait_accepted(drill.lines.count)
    back = time.monotonic() - began - OUTAGE_SECONDS
    return f"{drill.finish(repeats=True)}, all there {back:.1f} s after the link was back, {last} events before"


def faults(drill: Drill) -> str:
    """Five faults in a row, while lines come in; the log must say in words what was wrong.

    Each is on for 10 s, and on until it has struck for 3 s: a forwarder that waits before its next try may sleep through 10 s.
    """
    step = FAULT_SECONDS * (len(FAULTS) + 1)
    drill.forwarder.start()
    began = time.monotonic()
    done, said, missing = 0, [], []
    for fault, words in [("", "")] + FAULTS:
        start = drill.forwarder.log_bytes()
        if fault:
            drill.endpoint.ask("POST", "faults", fault)
        since, until = time.monotonic(), STALL_SECONDS_MAX if fault else FAULT_SECONDS
        while (age := time.monotonic() - since) < until:
            if until == STALL_SECONDS_MAX and drill.endpoint.struck():
                until = max(FAULT_SECONDS, age + STRUCK_SECONDS)
            due = int(drill.lines.count * min(1.0, (time.monotonic() - began) / step))
            drill.lines.write(drill.input, done, due)
            done = due
            drill.forwarder.alive()
            time.sleep(POLL_SECONDS)
        if fault:
            drill.endpoint.ask("DELETE", "faults")
            log = drill.forwarder.log.read_bytes()[start:].decode("utf-8", "replace").splitlines()
            found = next((line for line in log if re.search(words, line, re.IGNORECASE)), None)
            (said if found else missing).append(f"\n       {fault}, {age:.0f} s: {(found or 'the log says nothing of it')[:400]}")
    drill.lines.write(drill.input, done, drill.lines.count)
    summary = drill.finish(repeats=True)
    if missing:
        raise Failed(f"{summary}{''.join(missing + said)}")
    return summary + "".join(said)


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def end(process: subprocess.Popen) -> None:
    """Ends a process of ours, whatever it does."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


QUEUE = {"backpressure": "queue", "queue": {"mode": "always"}}
BLOCK = {"backpressure": "block"}
SCENARIOS = [(f"{scenario.__name__}, {word}", scenario, how)
             for scenario in (steady, outage, faults) for word, how in (("always", QUEUE), ("block", BLOCK))]


def main() -> int:
    """All scenarios that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=Path(os.environ.get("MILLPOND_BIN", TARGET / "release" / "millpond")))
    parser.add_argument("--endpoint-binary", type=Path, help="whose `local-kinesis` is the endpoint; by default that of --binary")
    parser.add_argument("--lines-from", type=Path, default=ROOT / "fixtures" / "logs", help="directory with *.log")
    parser.add_argument("--megabytes", type=float, default=150)
    parser.add_argument("--directory", type=Path, default=TARGET / "acceptance", help="where input, queue, logs and output go")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the moments at which it is killed")
    parser.add_argument("--only", default="", help="only scenarios whose name matches this regular expression")
    options = parser.parse_args()
    options.binary, options.directory = options.binary.resolve(), options.directory.resolve()
    if not options.binary.exists():
        print(f"{options.binary} is not there: cargo build --release -p millpond", file=sys.stderr)
        return 2
    lines = Lines(options.lines_from, int(options.megabytes * 1e6))
    print(f"{lines.count} lines from {options.lines_from}, seed {options.seed}", flush=True)
    passed = failed = 0
    for name, scenario, backpressure in SCENARIOS:
        if not re.search(options.only, name):
            continue
        drill = Drill(options, lines, name, backpressure)
        try:
            print(f"ok   {name}: {scenario(drill)}", flush=True)
            passed += 1
            drill.close()
            shutil.rmtree(drill.directory)
        except (Failed, OSError) as error:
            print(f"FAIL {name}: {error}\n       everything is left in {drill.directory}", flush=True)
            failed += 1
        finally:
            drill.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
