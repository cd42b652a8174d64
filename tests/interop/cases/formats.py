"""What a record is, and that every event is in one exactly once, in order where that is promised."""

import json
import subprocess
from functools import partial

from bench import BLOCK, FORMS, GZIP, NDJSON, QUEUE, WAIT_SECONDS_MAX, Bench, Case, lines_of
from forwarder import Failed
from proof import Rules, check_order, decode, expected_text


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
    bench.hold(check_order(stream.records, Rules("ndjson", "text", bench.record_bytes_max), expected))


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
    events = [event for record in stream.records for event in decode(record, "gzip", bench.record_bytes_max).events]
    source = json.loads(events[0]).get("source", "") if events else ""
    bench.hold(bench.problems(stream, "gzip", expected_text(source, data.split(b"\n"))))


CASES = [
    *[Case(f"{form}, {word}", partial(forwards, form=form, backpressure=how))
      for form in FORMS for word, how in (("block", BLOCK), ("queue always", QUEUE))],
    *[Case(f"json unchanged, {form}", partial(json_unchanged, form=form)) for form in ("gzip", "event")],
    Case("restarted", restarted),
    Case("ordered", ordered),
    Case("standard input", standard_input),
]
