#!/usr/bin/env python3
"""Stands in for the forwarder, so that the tests themselves can be tried without it.

    MILLPOND_BIN=tests/interop/standin.py INTEROP_SILENCE_SECONDS=2 tests/interop/run.sh

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
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

FAULTS = ("lose", "repeat", "count", "size", "plain", "rebuild", "trim", "host", "key", "swap", "forget", "linger",
          "direct", "proxied", "trust", "generous", "stubborn", "bare")
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

    def __init__(self, settings: dict, secrets: dict) -> None:
        self.settings, self.secrets = settings, secrets
        self.stream = settings["stream_name"]
        self.connect()

    def connect(self) -> None:
        """A client with the keys as they are now."""
        keys = self.keys()
        role = self.settings.get("assume_role", {})
        if role.get("enabled") and FAULT != "bare":
            sts = boto3.client("sts", endpoint_url=role["sts_endpoint"], region_name=self.settings["region"], **named(keys))
            try:
                given = sts.assume_role(RoleArn=role["arn"], RoleSessionName="millpond", ExternalId=role["external_id"])["Credentials"]
            except ClientError as error:
                print(error, flush=True)
                given = {"AccessKeyId": "none", "SecretAccessKey": "none", "SessionToken": "none"}
            keys = {"access_key": given["AccessKeyId"], "secret_key": given["SecretAccessKey"], "session_token": given["SessionToken"]}
        trusts = not self.settings.get("reject_unauthorized", True) or FAULT == "trust"
        self.client = boto3.client(
            "kinesis", endpoint_url=self.settings["endpoint"], region_name=self.settings["region"], **named(keys),
            verify=False if trusts else self.settings.get("ca_file"),
            config=Config(proxies=self.proxies(), connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 1}))

    def keys(self) -> dict:
        """The keys of the configuration, or those of the secret that it names."""
        auth = self.settings["auth"]
        if auth["method"] == "secret":
            return json.loads(Path(self.secrets[auth["secret"]]["file"]).read_text())
        return auth

    def proxies(self) -> dict | None:
        """The proxies of the setting; None: those of the environment."""
        proxy = self.settings.get("proxy")
        past = "127.0.0.1" in os.environ.get("NO_PROXY", "") and FAULT != "proxied"
        if FAULT == "direct" or past:
            return {}
        proxy = proxy or (os.environ.get("http_proxy") if FAULT == "proxied" else None)
        return {"http": proxy, "https": proxy} if proxy else None

    def key(self) -> str:
        """A partition key."""
        chosen = self.settings.get("partition_key")
        return chosen["fixed"] if isinstance(chosen, dict) and FAULT != "key" else uuid.uuid4().hex

    def put(self, events: list[bytes]) -> int:
        """All events, in order; how many of them it could put."""
        done = 0
        try:
            for group in self.groups(events):
                self.put_group(group)
                done += len(group)
        except (ClientError, BotoCoreError) as error:
            print(error, flush=True)
            if FAULT != "stubborn":
                self.connect()
        return done

    def groups(self, events: list[bytes]) -> list[list[bytes]]:
        """Events that go together."""
        if FAULT == "lose":
            events = events[:-1]
        if FAULT == "repeat":
            events = events + events[-1:]
        if FAULT == "swap":
            events = events[1:] + events[:1]
        if self.by_event():
            return [events[at:at + 200] for at in range(0, len(events), 200)]
        size, unit = self.settings.get("max_record_size", "1024 KiB").split()
        return batches(events, int(size) * {"KiB": 1024, "MiB": 1024 * 1024}[unit])

    def by_event(self) -> bool:
        """Whether each event is a record."""
        return self.settings.get("compression") == "none" and not self.settings.get("send_batched", True)

    def put_group(self, group: list[bytes]) -> None:
        """One request."""
        if self.by_event():
            self.client.put_records(StreamName=self.stream, Records=[{"Data": one, "PartitionKey": self.key()} for one in group])
            return
        data = record(group, self.settings.get("compression", "gzip") == "gzip")
        self.client.put_record(StreamName=self.stream, Data=data, PartitionKey=self.key())


def named(keys: dict) -> dict:
    """Keys as boto3 calls them."""
    names = {"access_key": "aws_access_key_id", "secret_key": "aws_secret_access_key", "session_token": "aws_session_token"}
    return {name: keys[key] for key, name in names.items() if key in keys}


def policies(settings: dict) -> dict:
    """What `check --iam-policy` prints."""
    put = "kinesis:PutRecords" if settings.get("send_batched") is False else "kinesis:PutRecord"
    look = "kinesis:ListShards" if settings.get("use_list_shards", True) else "kinesis:DescribeStream"
    stream = f"arn:aws:kinesis:{settings['region']}:*:stream/{settings['stream_name']}"
    user = policy([put, look], "*" if FAULT == "generous" else stream)
    role = settings.get("assume_role", {})
    if not role.get("enabled"):
        return user
    return {"identities": [{"identity": "user", "policy": policy(["sts:AssumeRole"], role["arn"])}, {"identity": "role", "policy": user}]}


def policy(actions: list[str], resource: str) -> dict:
    """A policy of one statement."""
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": [resource]}]}


def main() -> None:
    """`standin.py run --config FILE`, `standin.py check --iam-policy --config FILE`."""
    config = yaml.safe_load(Path(sys.argv[-1]).read_text())
    settings = config["outputs"]["main"]
    if sys.argv[1] == "check":
        print(json.dumps(policies(settings)))
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN if FAULT == "linger" else lambda *_: sys.exit(0))
    output = Output(settings, config.get("secrets", {}))
    positions = Path(config["data_dir"]) / "positions.json"
    positions.parent.mkdir(parents=True, exist_ok=True)
    done = json.loads(positions.read_text()) if positions.exists() and FAULT != "forget" else {}
    for settings in config["inputs"].values():
        if settings["type"] == "stdin":
            output.put([event(line, "stdin", settings.get("codec", "text")) for line in sys.stdin.buffer.read().split(b"\n")])
            return
    while True:
        for path in sorted(glob.glob(settings["include"][0])):
            data = Path(path).read_bytes()
            lines = whole_lines(data[done.get(path, 0):])
            if not lines:
                continue
            sent = output.put([event(line.removesuffix(b"\n"), path, settings.get("codec", "text")) for line in lines])
            done[path] = done.get(path, 0) + sum(map(len, lines[:max(sent, len(lines) if FAULT == "lose" else 0)]))
        positions.write_text(json.dumps(done))
        time.sleep(0.1)


def whole_lines(data: bytes) -> list[bytes]:
    """Lines with their ends, without one that is still being written."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


if __name__ == "__main__":
    main()
