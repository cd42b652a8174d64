"""Streams whose shards are many, change, or are not there yet, and records that are as large as can be."""

import time

from bench import EVENT, GZIP, NDJSON, QUEUE, WAIT_SECONDS_MAX, Bench, Case
from forwarder import Failed
from relay import Relay

# As many as a stream of kinesis-local may begin with, and as ListShards gives in one page.
SHARDS_PER_PAGE = 1000
LARGE_RECORD_BYTES = 10 * 1024 * 1024


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
        # 1,200 records went in since, so that chance leaves no child without one.
        if unused := unused_of(bench, children, stream.records):
            raise Failed(f"no record in {unused} after resharding")


def resharded_under_load(bench: Bench) -> None:
    """Two splits and a merge while lines flow: nothing twice, nothing lost, and the new shards are used at once."""
    stream = bench.stream(2)
    bench.configure(stream, GZIP, QUEUE, {"max_record_size": "16 KiB"})
    expected = []
    bench.forwarder.start()
    for reshard in (stream.split, stream.split, stream.merge):
        bench.flow(expected, 0.6, 3000)
        before = len(stream.records)
        children = reshard()
        # Keys are random: how many records it takes until each of the children has one is, too.
        until = time.monotonic() + WAIT_SECONDS_MAX
        while True:
            bench.flow(expected, 0.6, 3000)
            bench.arrive(stream, "gzip", expected)
            unused = unused_of(bench, children, stream.records[before:])
            if not unused:
                break
            if time.monotonic() > until:
                raise Failed(f"no record in {unused} {WAIT_SECONDS_MAX:.0f} s after resharding")
    bench.finish(stream, "gzip", expected)


def unused_of(bench: Bench, children: list[str], records: list) -> str:
    """New shards without records. moto goes on putting them into the closed parent, which is its mistake."""
    unused = set(children) - {record.shard for record in records}
    return "" if bench.endpoint.name == "moto" else ", ".join(sorted(unused))


def many_shards(bench: Bench) -> None:
    """The shards fill more than one page of ListShards; they are verified once the endpoint, which is late, is there."""
    stream = bench.stream(SHARDS_PER_PAGE)
    stream.split()
    if len(stream.shards()) <= SHARDS_PER_PAGE or stream.first_page() > SHARDS_PER_PAGE:
        raise Failed("the endpoint lists all shards in one page: too few to see anything")
    stream.only = {stream.shard_of("turbine-07")}
    relay = Relay(bench.endpoint.address)
    queue = QUEUE | {"queue": QUEUE["queue"] | {"mode": "error"}}
    bench.configure(stream, GZIP, queue, {"endpoint": relay.url, "partition_key": {"fixed": "turbine-07"}})
    expected = bench.numbered("numbered.log", 0, 3000)
    bench.forwarder.start()
    bench.hear("no connection to")
    with relay:
        bench.hear("shards verified", f"open_shards={SHARDS_PER_PAGE + 1}")
        bench.finish(stream, "gzip", expected)


def creating(bench: Bench) -> None:
    """The stream is still being created when the forwarder starts: all arrives, and nobody has to start it again."""
    bench.another({"CREATE_STREAM_DURATION": "3s"})
    stream = bench.stream(2, wait=False)
    began = time.monotonic()
    bench.configure(stream, GZIP, QUEUE)
    expected = bench.numbered("numbered.log", 0, 2000)
    bench.forwarder.start()
    bench.hear("the stream is being created")
    if stream.status() != "CREATING":
        raise Failed(f"the stream was created within {time.monotonic() - began:.1f} s: too early to see anything")
    stream.wait_active()
    bench.finish(stream, "gzip", expected)


def large_records(bench: Bench) -> None:
    """Records of up to 10 MiB, which the stream has to allow; read back whole."""
    bench.record_bytes_max = LARGE_RECORD_BYTES
    stream = bench.stream(1)
    stream.allow_records(LARGE_RECORD_BYTES)
    bench.configure(stream, NDJSON, QUEUE, {"flush_period": "2s"})
    # kinesis-local takes 10 s for the 10 MiB.
    expected = bench.numbered("numbered.log", 0, 130_000 if bench.endpoint.name == "embedded" else 50_000)
    bench.forward(stream, "ndjson", expected)
    largest = max(len(record.data) for record in stream.records)
    if largest < 0.95 * LARGE_RECORD_BYTES:
        raise Failed(f"the largest record has {largest} bytes")


CASES = [
    Case("resharded", resharded),
    Case("resharded under load", resharded_under_load),
    Case("many shards", many_shards, ("kinesis-local", "embedded")),
    Case("creating", creating, ("kinesis-local",)),
    Case("large records", large_records, ("kinesis-local", "embedded")),
]
