#!/usr/bin/env python3
"""Stands in for the forwarder, so that the tests themselves can be tried without it.

    MILLPOND_BIN=tests/interop/standin.py tests/interop/run.sh

It reads the configuration that the tests write, and does with boto3 what they ask for; no more.
With STANDIN_FAULT set to one of FAULTS it does one thing wrong, and tests have to fail.
"""

import glob
import gzip
import json
import os
import signal
import socket
import sys
import time
import uuid
from pathlib import Path

import boto3
import yaml
from botocore.exceptions import ClientError

FAULTS = ("lose", "repeat", "count", "size", "plain", "rebuild", "trim", "host", "key", "swap", "forget", "linger")
FAULT = os.environ.get("STANDIN_FAULT", "")


def event(line: bytes, source: str, codec: str) -> bytes:
    """A line as an event."""
    if codec == "json":
        return json.dumps(json.loads(line)).encode() if FAULT == "rebuild" else line
    raw = line.removesuffix(b"\r").decode("utf-8", "replace")
    value = {"_raw": raw.rstrip() if FAULT == "trim" else raw, "_time": time.time(), "host": socket.gethostname(), "source": source}
    if FAULT == "host":
        del value["host"]
    return json.dumps(value, ensure_ascii=False).encode()


def record(events: list[bytes], packed: bool) -> bytes:
    """Events as one record with a header line."""
    body = b"".join(one + b"\n" for one in events)
    count = len(events) + (FAULT == "count")
    size = len(body) - (FAULT == "size")
    data = b'{"format":"ndjson","count":%d,"size":%d}\n' % (count, size) + body
    return gzip.compress(data, 6) if packed and FAULT != "plain" else data


def batches(events: list[bytes], limit: int) -> list[list[bytes]]:
    """Events in groups that fit in a record."""
    groups, size = [[]], 0
    for one in events:
        if groups[-1] and size + len(one) + 400 > limit:
            groups.append([])
            size = 0
        groups[-1].append(one)
        size += len(one) + 1
    return [group for group in groups if group]


class Output:
    """Puts events as the output's settings say."""

    def __init__(self, settings: dict) -> None:
        auth = settings["auth"]
        self.settings = settings
        self.client = boto3.client("kinesis", endpoint_url=settings["endpoint"], region_name=settings["region"],
                                   aws_access_key_id=auth["access_key"], aws_secret_access_key=auth["secret_key"])

    def key(self) -> str:
        """A partition key."""
        chosen = self.settings.get("partition_key")
        return chosen["fixed"] if isinstance(chosen, dict) and FAULT != "key" else uuid.uuid4().hex

    def put(self, events: list[bytes]) -> None:
        """All events, in order."""
        if FAULT == "lose":
            events = events[:-1]
        if FAULT == "repeat":
            events = events + events[-1:]
        if FAULT == "swap":
            events = events[1:] + events[:1]
        stream = self.settings["stream_name"]
        if self.settings.get("compression") == "none" and not self.settings.get("send_batched", True):
            for at in range(0, len(events), 500):
                some = [{"Data": one, "PartitionKey": self.key()} for one in events[at:at + 500]]
                self.client.put_records(StreamName=stream, Records=some)
            return
        limit = int(self.settings.get("max_record_size", "1024 KiB").split()[0]) * 1024
        for group in batches(events, limit):
            self.client.put_record(StreamName=stream, Data=record(group, self.settings.get("compression", "gzip") == "gzip"), PartitionKey=self.key())


def main() -> None:
    """`standin.py run --config FILE`."""
    config = yaml.safe_load(Path(sys.argv[3]).read_text())
    output = Output(config["outputs"]["main"])
    positions = Path(config["data_dir"]) / "positions.json"
    positions.parent.mkdir(parents=True, exist_ok=True)
    done = json.loads(positions.read_text()) if positions.exists() and FAULT != "forget" else {}
    signal.signal(signal.SIGTERM, signal.SIG_IGN if FAULT == "linger" else lambda *_: sys.exit(0))
    for settings in config["inputs"].values():
        if settings["type"] == "stdin":
            output.put([event(line, "stdin", settings.get("codec", "text")) for line in sys.stdin.buffer.read().split(b"\n")])
            return
    while True:
        for path in sorted(glob.glob(settings["include"][0])):
            data = Path(path).read_bytes()
            new = data[done.get(path, 0):]
            if not new:
                continue
            try:
                output.put([event(line, path, settings.get("codec", "text")) for line in new.removesuffix(b"\n").split(b"\n")])
                done[path] = len(data)
            except ClientError as error:
                print(error, flush=True)
        positions.write_text(json.dumps(done))
        time.sleep(0.1)


if __name__ == "__main__":
    main()
