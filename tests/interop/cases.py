"""The tests: each forwards files to a stream and holds what arrived against what was sent."""

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from endpoints import Endpoint, moto_checks
from forwarder import Failed, Forwarder
from proof import Rules, check_order, check_stream, decode, expected_text
from stream import Stream

# The self-test waits less, for what will never come.
WAIT_SECONDS_MAX = float(os.environ.get("INTEROP_WAIT_SECONDS", "120"))
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
    started: float

    def stream(self, shards: int = 3) -> Stream:
        """A stream of this test's own."""
        return Stream(self.endpoint, self.directory.name, shards)

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

    def configure(self, stream: Stream, *settings: dict, codec: str = "text", auth: dict | None = None) -> None:
        """One file input for all of `logs`, and an output."""
        inputs = {"files": {"type": "file", "include": [str(self.directory / "logs" / "*")], "codec": codec}}
        self.configure_inputs(stream, inputs, *settings, auth=auth)

    def configure_inputs(self, stream: Stream, inputs: dict, *settings: dict, auth: dict | None = None) -> None:
        """Inputs of the test's own, and an output."""
        output = {"max_record_size": f"{RECORD_BYTES_MAX // 1024} KiB"}
        if self.endpoint.name == "moto":
            # It numbers records without a lock, and loses some of those that come at the same time.
            output["concurrency"] = 1
        for one in settings:
            output |= one
        if output.get("send_batched") is False and self.endpoint.name != "embedded":
            # On a busy machine, they take longer over 500 records than the forwarder waits.
            output["records_per_flush"] = 200
        self.forwarder.configure(self.endpoint, stream.name, inputs, output, auth)

    def forward(self, stream: Stream, form: str, expected: list, codec: str = "text") -> None:
        """Starts the forwarder, waits until as many events as expected are in the stream, stops it, and checks them all."""
        self.forwarder.start()
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while (arrived := count(stream, form)) < len(expected):
            if self.forwarder.ended():
                why = f"millpond ended with exit code {self.forwarder.process.returncode}"
            elif time.monotonic() > deadline:
                why = f"{WAIT_SECONDS_MAX:.0f} s are over"
            else:
                time.sleep(0.1)
                stream.poll()
                continue
            self.hold([f"{why}, and {arrived} of {len(expected)} events have arrived", *self.problems(stream, form, expected, codec)])
        self.forwarder.stop()
        stream.poll()
        self.hold(self.problems(stream, form, expected, codec))

    def problems(self, stream: Stream, form: str, expected: list, codec: str = "text") -> list[str]:
        """What is wrong with all that is in the stream; event times lie between the test's start and now."""
        rules = Rules(form, codec, RECORD_BYTES_MAX, time_min=self.started - 1, time_max=time.time() + 1)
        return check_stream(stream.records, rules, expected, self.forwarder.repeats())

    def hold(self, problems: list[str]) -> None:
        """Fails with all problems, if there are any."""
        if problems:
            raise Failed("; ".join(problems[:6]) + (f" (and {len(problems) - 6} more)" if len(problems) > 6 else ""))


def lines_of(path: Path) -> list[bytes]:
    """The lines of a file that ends in a line end."""
    return path.read_bytes().removesuffix(b"\n").split(b"\n")


def count(stream: Stream, form: str) -> int:
    """Events that are in the stream, without records that were sent again; one that cannot be read counts as one."""
    records = {(record.partition_key, record.data): record for record in stream.records}
    return sum(max(1, len(decode(record, form, RECORD_BYTES_MAX).events)) for record in records.values())


def forwards(bench: Bench, form: str, backpressure: dict) -> None:
    """Fixtures and numbered lines through one record format."""
    stream = bench.stream()
    # A record for each event is slow work for the endpoints, so there are fewer then; the long line is among them.
    expected = bench.logs(700, 300) if form == "event" else bench.logs(2000, 5000)
    bench.configure(stream, FORMS[form], backpressure)
    bench.forward(stream, form, expected)
    if len(stream.records) < 2:
        raise Failed(f"{len(expected)} events in {len(stream.records)} record")


def json_unchanged(bench: Bench, form: str) -> None:
    """JSON objects arrive byte for byte."""
    stream = bench.stream(2)
    path = bench.directory / "logs" / "engine.ndjson"
    path.write_bytes((bench.fixtures / "engine.ndjson").read_bytes())
    bench.configure(stream, FORMS[form], QUEUE, codec="json")
    bench.forward(stream, form, lines_of(path), codec="json")


def resharded(bench: Bench) -> None:
    """A split, then a merge, between runs: nothing twice, nothing lost, and the new shards are used."""
    stream = bench.stream(2)
    bench.configure(stream, EVENT, QUEUE)
    expected = bench.numbered("numbered.log", 0, 1000)
    bench.forward(stream, "event", expected)
    for number, reshard in enumerate((stream.split, stream.merge)):
        children = reshard()
        expected += bench.numbered("numbered.log", 1000 * (number + 1), 1000)
        expected += bench.numbered(f"new-{number}.log", 0, 200)
        bench.forward(stream, "event", expected)
        # moto goes on putting records into the closed parent, which is its mistake.
        unused = set(children) if bench.endpoint.name != "moto" else set()
        unused -= {record.shard for record in stream.records}
        if unused:
            raise Failed(f"no record in {', '.join(sorted(unused))} after resharding")


def restarted(bench: Bench) -> None:
    """A clean stop repeats nothing: three runs over one growing file."""
    stream = bench.stream(2)
    bench.configure(stream, GZIP, BLOCK)
    expected = []
    for run in range(3):
        expected += bench.numbered("numbered.log", 800 * run, 800)
        bench.forward(stream, "gzip", expected)


def ordered(bench: Bench) -> None:
    """With one put in flight and one partition key, order is kept, through the queue."""
    stream = bench.stream(3)
    expected = bench.numbered("numbered.log", 0, 6000)
    bench.configure(stream, NDJSON, QUEUE, {"concurrency": 1, "partition_key": {"fixed": "turbine-07"}})
    bench.forward(stream, "ndjson", expected)
    keys = {record.partition_key for record in stream.records}
    if keys != {"turbine-07"}:
        raise Failed(f"partition keys are {sorted(keys)[:5]}")
    bench.hold(check_order(stream.records, Rules("ndjson", "text", RECORD_BYTES_MAX), expected))


def standard_input(bench: Bench) -> None:
    """Standard input to its end, then exit by itself; the last line has no line end."""
    stream = bench.stream(2)
    data = (bench.fixtures / "shop.log").read_bytes() + b"last line, without a line end"
    bench.configure_inputs(stream, {"in": {"type": "stdin", "codec": "text"}}, GZIP, BLOCK)
    bench.forwarder.start(subprocess.PIPE)
    try:
        bench.forwarder.process.stdin.write(data)
        bench.forwarder.process.stdin.close()
    except BrokenPipeError:
        raise Failed("millpond closed its standard input before its end") from None
    bench.forwarder.wait("after the end of its standard input", WAIT_SECONDS_MAX)
    stream.poll()
    events = [event for record in stream.records for event in decode(record, "gzip", RECORD_BYTES_MAX).events]
    source = json.loads(events[0]).get("source", "") if events else ""
    bench.hold(bench.problems(stream, "gzip", expected_text(source, data.split(b"\n"))))


def signed(bench: Bench) -> None:
    """moto checks signatures and policies: a wrong key delivers nothing, the right one everything."""
    stream = bench.stream(2)
    expected = bench.numbered("numbered.log", 0, 500)
    right = user(bench.endpoint)
    for auth, seconds in ((right | {"secret_key": "x" * 40}, 3), (right, 6)):
        bench.configure(stream, GZIP, QUEUE, auth=auth)
        moto_checks(bench.endpoint, on=True)
        try:
            bench.forwarder.start()
            time.sleep(seconds)
            bench.forwarder.stop()
        finally:
            moto_checks(bench.endpoint, on=False)
        stream.poll()
        if auth is not right and stream.records:
            raise Failed(f"{len(stream.records)} records arrived although the secret key was wrong")
    bench.hold(bench.problems(stream, "gzip", expected))


def user(endpoint: Endpoint) -> dict:
    """A user who may do what the documentation asks for and no more; the `auth` section with its keys."""
    iam = endpoint.client("iam")
    iam.create_user(UserName="millpond")
    policy = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Resource": "*", "Action": ["kinesis:PutRecord", "kinesis:PutRecords", "kinesis:ListShards"]}]}
    iam.put_user_policy(UserName="millpond", PolicyName="put", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="millpond")["AccessKey"]
    return {"method": "manual", "access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}


def cases(endpoint: str) -> list[tuple[str, object]]:
    """Name and function of every test for an endpoint."""
    found = [(f"{form}, {word}", lambda bench, form=form, how=how: forwards(bench, form, how))
             for form in FORMS for word, how in (("block", BLOCK), ("queue always", QUEUE))]
    found += [(f"json unchanged, {form}", lambda bench, form=form: json_unchanged(bench, form)) for form in ("gzip", "event")]
    found += [("resharded", resharded), ("restarted", restarted), ("ordered", ordered), ("standard input", standard_input)]
    if endpoint == "moto":
        found.append(("signed", signed))
    return found
