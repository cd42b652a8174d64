"""What must be true of the records in a stream. Pure: bytes in, problems in words out."""

import gzip
import json
import re
import zlib
from collections import Counter
from dataclasses import dataclass, field

HEADER = re.compile(rb'\{"format":"ndjson","count":([0-9]+),"size":([0-9]+)\}')
TEXT_FIELDS = ("_raw", "_time", "host", "source")
SYSTEM_FIELDS = {"cribl_pipe", "cribl_host", "cribl_input", "cribl_output", "cribl_route", "cribl_wp"}
EXAMPLES_MAX = 2


@dataclass(frozen=True)
class Record:
    """One record as a consumer gets it."""

    shard: str
    partition_key: str
    data: bytes


@dataclass(frozen=True)
class Rules:
    """What a stream's records are held against."""

    form: str
    """`gzip`, `ndjson` or `event`."""
    codec: str
    """`text` or `json`."""
    record_bytes_max: int = 1024 * 1024
    """Largest record before compression; what is counted in depends on the form."""
    time_min: float = 0.0
    time_max: float = float("inf")
    """Between these, in Unix seconds, the events were made."""


@dataclass
class Decoded:
    """The events of some records, in order, and what was wrong with the records."""

    events: list[bytes] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def decode(record: Record, form: str, record_bytes_max: int) -> Decoded:
    """The events of one record, each as the bytes of its JSON object."""
    decoded = Decoded()

    def wrong(text: str) -> Decoded:
        decoded.problems.append(f"{record.shard}: {text}")
        return decoded

    if not 1 <= len(record.partition_key) <= 256:
        wrong(f"partition key of {len(record.partition_key)} characters")
    if form == "event":
        size = len(record.data) + len(record.partition_key.encode())
        if size > record_bytes_max:
            wrong(f"record of {size} bytes with its key, more than max_record_size {record_bytes_max}")
        if b"\n" in record.data:
            return wrong(f"an event record with a line end in it: {shown(record.data)}")
        decoded.events.append(record.data)
        return decoded
    body = record.data
    if form == "gzip":
        try:
            body = gunzip(record.data)
        except (OSError, EOFError, zlib.error, ValueError) as error:
            return wrong(f"not gzip of one member: {error}: {shown(record.data)}")
    size = len(body) + (len(record.partition_key.encode()) if form == "ndjson" else 0)
    if size > record_bytes_max:
        wrong(f"record of {size} bytes before compression, more than max_record_size {record_bytes_max}")
    head, newline, rest = body.partition(b"\n")
    match = HEADER.fullmatch(head)
    if not (match and newline):
        return wrong(f"header line is not as agreed: {shown(head)}")
    if not rest.endswith(b"\n"):
        return wrong(f"the body does not end in a line end: {shown(rest[-80:])}")
    decoded.events = rest[:-1].split(b"\n")
    exact = b'{"format":"ndjson","count":%d,"size":%d}' % (len(decoded.events), len(rest))
    if head != exact:
        wrong(f"header says {shown(head)}, the body is {shown(exact)}")
    return decoded


def gunzip(data: bytes) -> bytes:
    """By Python's gzip, and with nothing behind the one member."""
    body = gzip.decompress(data)
    stream = zlib.decompressobj(wbits=31)
    stream.decompress(data)
    if not stream.eof or stream.unused_data:
        raise ValueError(f"{len(stream.unused_data)} bytes behind the first member")
    return body


def expected_text(source: str, lines: list[bytes]) -> list[tuple[str, str]]:
    """The events that lines of a source must become under `codec: text`."""
    return [(source, line.removesuffix(b"\r").decode("utf-8", "replace")) for line in lines]


def check_text_event(event: bytes, rules: Rules) -> tuple[tuple[str, str] | None, list[str]]:
    """(source, line) of a wrapped line, and what is wrong with it."""
    try:
        value = json.loads(event.decode("utf-8"))
    except ValueError as error:
        return None, [f"event is not JSON in UTF-8: {error}: {shown(event)}"]
    if not isinstance(value, dict):
        return None, [f"event is not a JSON object: {shown(event)}"]
    problems = []
    missing = [name for name in TEXT_FIELDS if name not in value]
    if missing:
        return None, [f"event without {', '.join(missing)}: {shown(event)}"]
    extra = set(value) - set(TEXT_FIELDS) - SYSTEM_FIELDS
    if extra:
        problems.append(f"event with fields nobody asked for, {sorted(extra)}: {shown(event)}")
    time = value["_time"]
    if isinstance(time, bool) or not isinstance(time, (int, float)):
        problems.append(f"_time is no number: {shown(event)}")
    elif not rules.time_min <= time <= rules.time_max:
        problems.append(f"_time {time} is not within the run, {rules.time_min} to {rules.time_max}")
    for name in ("host", "source"):
        if not (isinstance(value[name], str) and value[name]):
            problems.append(f"{name} is empty or no text: {shown(event)}")
    if not isinstance(value["_raw"], str):
        return None, problems + [f"_raw is no text: {shown(event)}"]
    return (value["source"], value["_raw"]), problems


def compare(expected: list, found: list, repeats_max: int = 0) -> list[str]:
    """Every expected event exactly once (but for so many repeats), and no other."""
    want, have = Counter(expected), Counter(found)
    problems = []
    missing, surplus = want - have, have - want
    repeated = Counter({event: times for event, times in surplus.items() if event in want})
    foreign = surplus - repeated
    if repeated.total() <= repeats_max:
        repeated.clear()
    for word, which in (("missing", missing), ("repeated", repeated), ("never sent", foreign)):
        if which:
            examples = "; ".join(shown(event) for event in list(which)[:EXAMPLES_MAX])
            problems.append(f"{which.total()} of {len(expected)} events {word}, as {examples}")
    return problems


def check_stream(records: list[Record], rules: Rules, expected: list, repeats_max: int = 0) -> list[str]:
    """All problems of a stream's records against what was sent.

    `expected`: (source, line) per event for `codec: text`, the object's bytes for `codec: json`.
    """
    problems, found = [], []
    hosts = set()
    for record in records:
        decoded = decode(record, rules.form, rules.record_bytes_max)
        problems += decoded.problems
        for event in decoded.events:
            if rules.codec == "json":
                found.append(event)
                continue
            pair, wrong = check_text_event(event, rules)
            problems += wrong
            if pair:
                found.append(pair)
                hosts.add(json.loads(event)["host"])
    if len(hosts) > 1:
        problems.append(f"one machine, but hosts {sorted(map(str, hosts))}")
    return problems + compare(expected, found, repeats_max)


def check_order(records: list[Record], rules: Rules, expected: list) -> list[str]:
    """Events of one shard come in the order in which they were sent."""
    found = []
    for record in records:
        for event in decode(record, rules.form, rules.record_bytes_max).events:
            found.append(check_text_event(event, rules)[0])
    for number, (want, have) in enumerate(zip(expected, found)):
        if want != have:
            return [f"event {number} in the stream is {shown(have)}, sent was {shown(want)}"]
    return []


def shown(value) -> str:
    """A value in a message: short, and one line."""
    text = repr(value)
    return text if len(text) <= 160 else text[:120] + f"… ({len(text)} characters)"
