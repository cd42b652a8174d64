"""The checks of proof.py, each seen to fail on data that is wrong in one place."""

import gzip
import json

from proof import Record, Rules, check_order, check_stream, compare, decode, expected_text

LINES = [b"plain", b"", "Kühlwasser 🌊 \"quoted\" \\ and \t".encode(), b"cut \xf0\x9f\x92 and \xff", b"windows\r"]
OBJECTS = [b'{ "a" : 1.50, "b":-0,"b":"\\u2014" }', '{"ship":"Østerlars"}'.encode()]
EVENT = {"_raw": "plain", "_time": 100.5, "host": "h", "source": "/a"}


def text_events() -> list[bytes]:
    """What a right forwarder makes of LINES."""
    return [json.dumps({"_raw": raw, "_time": 100.5, "host": "h", "source": source}, ensure_ascii=False).encode()
            for source, raw in expected_text("/a", LINES)]


def body(events: list[bytes], count: int | None = None, size: int | None = None) -> bytes:
    """Header line and events; count and size may be made wrong."""
    rest = b"".join(event + b"\n" for event in events)
    count = len(events) if count is None else count
    size = len(rest) if size is None else size
    return b'{"format":"ndjson","count":%d,"size":%d}\n' % (count, size) + rest


def problems_of(data: bytes | list[bytes], form: str = "ndjson", codec: str = "text", key: str = "k", limit: int = 1024 * 1024) -> list[str]:
    """The checks' verdict on records that should hold LINES (or OBJECTS)."""
    records = [Record("shard-0", key, one) for one in (data if isinstance(data, list) else [data])]
    rules = Rules(form, codec, limit, time_min=100, time_max=101)
    return check_stream(records, rules, OBJECTS if codec == "json" else expected_text("/a", LINES))


def changed(**fields) -> list[bytes]:
    """The right events, the first one with fields changed; None takes a field away."""
    first = {name: value for name, value in (EVENT | fields).items() if value is not None}
    return [json.dumps(first).encode(), *text_events()[1:]]


def right() -> list[tuple[str, list[str]]]:
    """Name, and problems that must not be."""
    good = text_events()
    return [
        ("gzip", problems_of(gzip.compress(body(good)), "gzip")),
        ("ndjson", problems_of(body(good))),
        ("ndjson in two records", problems_of([body(good[:2]), body(good[2:])])),
        ("event", problems_of(good, "event")),
        ("json", problems_of(body(OBJECTS), codec="json")),
        ("system field", problems_of(body(changed(cribl_pipe="p")))),
        ("order", check_order([Record("s", "k", body(good))], Rules("ndjson", "text"), expected_text("/a", LINES))),
    ]


def wrong() -> list[tuple[str, list[str], str]]:
    """Name, problems, and the words that must be among them."""
    good = text_events()
    packed = gzip.compress(body(good))
    rest = b"".join(event + b"\n" for event in good)
    return [
        ("not compressed", problems_of(body(good), "gzip"), "not gzip"),
        ("gzip cut", problems_of(packed[:-1], "gzip"), "not gzip"),
        ("gzip flipped", problems_of(packed[:-6] + bytes([packed[-6] ^ 1]) + packed[-5:], "gzip"), "not gzip"),
        ("two members", problems_of(packed + gzip.compress(b""), "gzip"), "not gzip"),
        ("compressed by mistake", problems_of(packed), "header line is not as agreed"),
        ("no header", problems_of(rest), "header line is not as agreed"),
        ("spaces in the header", problems_of(b'{"format": "ndjson", "count": 5, "size": 9}\n' + rest), "header line is not as agreed"),
        ("keys in another order", problems_of(b'{"format":"ndjson","size":%d,"count":5}\n' % len(rest) + rest), "header line is not as agreed"),
        ("header with CR", problems_of(body(good).replace(b"}\n", b"}\r\n", 1)), "header line is not as agreed"),
        ("count one less", problems_of(body(good, count=4)), "header says"),
        ("size without the last line end", problems_of(body(good, size=len(rest) - 1)), "header says"),
        ("leading zero", problems_of(body(good).replace(b'count":', b'count":0')), "header says"),
        ("no line end at the end", problems_of(body(good)[:-1]), "does not end in a line end"),
        ("an empty body", problems_of(b'{"format":"ndjson","count":0,"size":0}\n'), "does not end in a line end"),
        ("line end in an event record", problems_of([good[0] + b"\n", *good[1:]], "event"), "line end in it"),
        ("header in an event record", problems_of([body(good[:1])], "event"), "line end in it"),
        ("record too large", problems_of(body(good), limit=100), "more than max_record_size"),
        ("gzip record too large", problems_of(packed, "gzip", limit=100), "more than max_record_size"),
        ("event record too large", problems_of(good, "event", limit=60), "more than max_record_size"),
        ("key counted in", problems_of(body(good), key="k" * 100, limit=len(body(good)) + 99), "more than max_record_size"),
        ("key empty", problems_of(body(good), key=""), "partition key of 0"),
        ("key too long", problems_of(body(good), key="k" * 257), "partition key of 257"),
        ("an event missing", problems_of(body(good[1:])), "1 of 5 events missing"),
        ("an event twice", problems_of(body([*good, good[0]])), "1 of 5 events repeated"),
        ("a record twice", problems_of([body(good), body(good)]), "5 of 5 events repeated"),
        ("an event of nobody", problems_of(body([*good, json.dumps(EVENT | {"_raw": "x"}).encode()])), "1 of 5 events never sent"),
        ("nothing at all", problems_of([]), "5 of 5 events missing"),
        ("line changed", problems_of(body(changed(_raw="Plain"))), "events missing"),
        ("CR kept", problems_of(body([*good[:4], json.dumps(EVENT | {"_raw": "windows\r"}).encode()])), "events missing"),
        ("bad bytes dropped, not replaced", problems_of(body([*good[:3], json.dumps(EVENT | {"_raw": "cut  and "}).encode(), good[4]])), "events missing"),
        ("another file's name", problems_of(body(changed(source="/b"))), "events missing"),
        ("no host", problems_of(body(changed(host=None))), "without host"),
        ("no source", problems_of(body(changed(source=None))), "without source"),
        ("no _time", problems_of(body(changed(_time=None))), "without _time"),
        ("no _raw", problems_of(body(changed(_raw=None))), "without _raw"),
        ("host empty", problems_of(body(changed(host=""))), "host is empty"),
        ("two hosts", problems_of(body(changed(host="other"))), "one machine, but hosts"),
        ("_time as text", problems_of(body(changed(_time="100.5"))), "_time is no number"),
        ("_time in milliseconds", problems_of(body(changed(_time=100500))), "not within the run"),
        ("_time of another day", problems_of(body(changed(_time=99.9))), "not within the run"),
        ("an internal field", problems_of(body(changed(__offset=1))), "fields nobody asked for"),
        ("bytes that are not UTF-8", problems_of(body([good[0].replace(b"plain", b"pl\xffin"), *good[1:]])), "not JSON in UTF-8"),
        ("an array", problems_of(body([b"[1]", *good[1:]])), "not a JSON object"),
        ("object rebuilt", problems_of(body([json.dumps(json.loads(one)).encode() for one in OBJECTS]), codec="json"), "events missing"),
        ("order", check_order([Record("s", "k", body(good[::-1]))], Rules("ndjson", "text"), expected_text("/a", LINES)), "event 0 in the stream"),
    ]


def run() -> list[str]:
    """What is wrong with the checks themselves."""
    failures = [f"{name}: right data, but {found}" for name, found in right() if found]
    failures += [f"{name}: expected “{words}”, found {found}" for name, found, words in wrong() if not any(words in one for one in found)]
    if compare([1, 2], [2, 1]):
        failures.append("compare minds the order")
    if compare([1, 2], [1, 1, 1, 2], repeats_max=2) or not compare([1, 2], [1, 1, 1, 2], repeats_max=1):
        failures.append("compare does not count repeats")
    if not compare([1, 2], [1, 1, 1], repeats_max=2) or not compare([1], [1, 3], repeats_max=2):
        failures.append("where repeats may be, compare does not see what is missing or foreign")
    if decode(Record("s", "k", body(text_events())), "ndjson", 10**6).events != text_events():
        failures.append("decode does not give the events back")
    return failures


if __name__ == "__main__":
    for failure in run():
        print(failure)
