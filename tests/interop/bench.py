"""What a test has at hand: an endpoint, a forwarder, log lines, and ways to hold what arrived against what was sent."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import endpoints
from endpoints import Endpoint
from forwarder import Failed, Forwarder
from proof import Rules, check_stream, decode, expected_text
from stream import Stream

# The self-test waits less, for what will never come.
WAIT_SECONDS_MAX = float(os.environ.get("INTEROP_WAIT_SECONDS", "120"))
# The stand-in of the self-test has no words of its own: it is only seen not to deliver, for this long.
SILENCE_SECONDS = float(os.environ.get("INTEROP_SILENCE_SECONDS", "0"))
POLL_SECONDS = 0.1
RECORD_BYTES_MAX = 256 * 1024
LOGS = ("gateway.log", "shop.log", "plc.log")

GZIP = {"compression": "gzip"}
NDJSON = {"compression": "none", "send_batched": True}
EVENT = {"compression": "none", "send_batched": False}
BLOCK = {"backpressure": "block"}
QUEUE = {"backpressure": "queue", "queue": {"mode": "always", "min_free": "16 MiB"}}
FORMS = {"gzip": GZIP, "ndjson": NDJSON, "event": EVENT}


@dataclass
class Bench:
    """What a test has at hand."""

    endpoint: Endpoint
    directory: Path
    fixtures: Path
    forwarder: Forwarder
    start_endpoint: Callable[..., Endpoint]
    """Starts another endpoint, for this test alone."""
    started: float = field(default_factory=time.time)
    record_bytes_max: int = RECORD_BYTES_MAX
    answers_get_lost: bool = False
    """Something in between is killed, so that the forwarder may have to send again what it owns up to."""

    def stream(self, shards: int = 3, wait: bool = True) -> Stream:
        """A stream of this test's own."""
        return Stream(self.endpoint, self.directory.name, shards, wait)

    def another(self, settings: dict | None = None, host: str = "127.0.0.1") -> None:
        """From now on, an endpoint of the same kind with other settings; it ends with the test."""
        self.endpoint = self.start_endpoint(self.endpoint.name, self.directory / "endpoint", settings, host)

    def logs(self, lines_max: int, numbered: int) -> list[tuple[str, str]]:
        """Copies up to so many lines of each fixture and writes numbered ones; the events that they must become."""
        expected = []
        for name in LOGS:
            path = self.directory / "logs" / name
            path.write_bytes(b"".join(line + b"\n" for line in lines_of(self.fixtures / name)[:lines_max]))
            expected += expected_text(str(path), lines_of(path))
        return expected + self.numbered("numbered.log", 0, numbered)

    def numbered(self, name: str, first: int, count: int) -> list[tuple[str, str]]:
        """Appends lines with a running number to a file; the events that they must become."""
        patterns = [line.decode() for line in lines_of(self.fixtures / "gateway.log")[:200]]
        lines = [f"{number:07} {patterns[number % len(patterns)]}".encode() for number in range(first, first + count)]
        path = self.directory / "logs" / name
        with path.open("ab") as file:
            file.write(b"".join(line + b"\n" for line in lines))
        return expected_text(str(path), lines)

    def flow(self, expected: list, seconds: float, rate: int) -> None:
        """Appends numbered lines at a steady rate, and adds to what is expected."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            expected += self.numbered("numbered.log", len(expected), rate // 20)
            time.sleep(0.05)

    def configure(self, stream: Stream, *settings: dict, codec: str = "text", secrets: dict | None = None) -> None:
        """One file input for all of `logs`, and an output."""
        inputs = {"files": {"type": "file", "include": [str(self.directory / "logs" / "*")], "codec": codec}}
        self.configure_inputs(stream, inputs, *settings, secrets=secrets)

    def configure_inputs(self, stream: Stream, inputs: dict, *settings: dict, secrets: dict | None = None) -> None:
        """Inputs of the test's own, and an output."""
        output = {"max_record_size": f"{self.record_bytes_max // 1024} KiB"}
        if self.endpoint.name == "moto":
            # It numbers records without a lock, and loses some of those that come at the same time.
            output["concurrency"] = 1
        for one in settings:
            output |= one
        if output.get("send_batched") is False and self.endpoint.name != "embedded":
            # On a busy machine, they take longer over 500 records than the forwarder waits.
            output["records_per_flush"] = 200
        self.forwarder.configure(self.endpoint, stream.name, inputs, output, secrets)

    def forward(self, stream: Stream, form: str, expected: list, codec: str = "text", environment: dict | None = None) -> None:
        """Starts the forwarder, waits until as many events as expected are in the stream, stops it, and checks them all."""
        self.forwarder.start(environment=environment)
        self.finish(stream, form, expected, codec)

    def finish(self, stream: Stream, form: str, expected: list, codec: str = "text") -> None:
        """What comes after the start of the forwarder."""
        self.arrive(stream, form, expected, codec)
        self.forwarder.stop()
        stream.poll()
        self.hold(self.problems(stream, form, expected, codec))

    def arrive(self, stream: Stream, form: str, expected: list, codec: str = "text") -> None:
        """Waits until as many events as expected are in the stream."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while (arrived := count(stream, form, self.record_bytes_max)) < len(expected):
            if self.forwarder.ended():
                why = f"millpond ended with exit code {self.forwarder.process.returncode}"
            elif time.monotonic() > deadline:
                why = f"{WAIT_SECONDS_MAX:.0f} s are over"
            else:
                time.sleep(POLL_SECONDS)
                stream.poll()
                continue
            self.hold([f"{why}, and {arrived} of {len(expected)} events have arrived", *self.problems(stream, form, expected, codec)])

    def hear(self, *words: str) -> None:
        """Waits until the forwarder has said all these words since it was started."""
        if SILENCE_SECONDS:
            time.sleep(SILENCE_SECONDS)
            return
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while missing := [word for word in words if word not in self.forwarder.said()]:
            if self.forwarder.ended():
                raise Failed(f"millpond ended with exit code {self.forwarder.process.returncode}")
            if time.monotonic() > deadline:
                raise Failed(f"{WAIT_SECONDS_MAX:.0f} s are over, and it has not said {missing}")
            time.sleep(POLL_SECONDS)

    def refused(self, stream: Stream, *words: str, environment: dict | None = None) -> None:
        """Starts the forwarder, waits until it says these words, stops it: nothing may have arrived."""
        self.forwarder.start(environment=environment)
        self.hear(*words)
        self.forwarder.stop()
        stream.poll()
        if stream.records:
            raise Failed(f"{len(stream.records)} records arrived although {words[0]}")

    def problems(self, stream: Stream, form: str, expected: list, codec: str = "text") -> list[str]:
        """What is wrong with all that is in the stream; event times lie between the test's start and now."""
        rules = Rules(form, codec, self.record_bytes_max, time_min=self.started - 1, time_max=time.time() + 1)
        return check_stream(stream.records, rules, expected, self.forwarder.repeats(self.answers_get_lost))

    def hold(self, problems: list[str]) -> None:
        """Fails with all problems, if there are any."""
        if problems:
            raise Failed("; ".join(problems[:6]) + (f" (and {len(problems) - 6} more)" if len(problems) > 6 else ""))


@dataclass(frozen=True)
class Case:
    """A test: what it is called, what it does, which endpoints it is for, what the machine has to have besides."""

    name: str
    run: Callable[[Bench], None]
    endpoints: tuple[str, ...] = endpoints.NAMES
    needs: tuple[str, ...] = ()


def lines_of(path: Path) -> list[bytes]:
    """The lines of a file that ends in a line end."""
    return path.read_bytes().removesuffix(b"\n").split(b"\n")


def count(stream: Stream, form: str, record_bytes_max: int) -> int:
    """Events that are in the stream, without records that were sent again; one that cannot be read counts as one."""
    records = {(record.partition_key, record.data): record for record in stream.records}
    return sum(max(1, len(decode(record, form, record_bytes_max).events)) for record in records.values())
