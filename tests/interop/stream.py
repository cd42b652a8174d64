"""A stream, and everything that was ever put to it, read back with boto3."""

import hashlib
import time

from endpoints import Endpoint
from proof import Record

ACTIVE_SECONDS_MAX = 30


class Stream:
    """A stream of its own for one test."""

    def __init__(self, endpoint: Endpoint, name: str, shards: int, wait: bool = True) -> None:
        self.endpoint = endpoint
        self.client = endpoint.client()
        self.name = name
        self.records: list[Record] = []
        self.iterators: dict[str, str | None] = {}
        self.only: set[str] | None = None
        self.client.create_stream(StreamName=name, ShardCount=shards)
        if wait:
            self.wait_active()

    def use(self, keys: dict) -> None:
        """From now on, it is read with these keys."""
        self.client = self.endpoint.client(**keys)

    def wait_active(self) -> None:
        """Waits until the stream can be used, or used again."""
        deadline = time.monotonic() + ACTIVE_SECONDS_MAX
        while self.status() != "ACTIVE":
            if time.monotonic() > deadline:
                raise RuntimeError(f"stream {self.name} is not ACTIVE after {ACTIVE_SECONDS_MAX} s")
            time.sleep(0.05)

    def status(self) -> str:
        """`ACTIVE`, `CREATING` and so on."""
        return self.client.describe_stream_summary(StreamName=self.name)["StreamDescriptionSummary"]["StreamStatus"]

    def allow_records(self, size: int) -> None:
        """Lets it take records of so many bytes."""
        arn = self.client.describe_stream_summary(StreamName=self.name)["StreamDescriptionSummary"]["StreamARN"]
        self.client.update_max_record_size(StreamARN=arn, MaxRecordSizeInKiB=size // 1024)
        self.wait_active()

    def shards(self) -> list[dict]:
        """All shards, the closed ones included."""
        shards, more = [], {"StreamName": self.name}
        while more:
            page = self.client.list_shards(**more)
            shards += page["Shards"]
            more = {"NextToken": page["NextToken"]} if page.get("NextToken") else None
        return shards

    def first_page(self) -> int:
        """How many shards ListShards gives at once."""
        return len(self.client.list_shards(StreamName=self.name)["Shards"])

    def open_shards(self) -> list[dict]:
        """The shards that take records, by their hash keys."""
        shards = [shard for shard in self.shards() if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]
        return sorted(shards, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))

    def split(self) -> list[str]:
        """Splits the first open shard in the middle; the children's ids."""
        before = {shard["ShardId"] for shard in self.shards()}
        parent = self.open_shards()[0]
        low, high = (int(parent["HashKeyRange"][name]) for name in ("StartingHashKey", "EndingHashKey"))
        self.client.split_shard(StreamName=self.name, ShardToSplit=parent["ShardId"], NewStartingHashKey=str((low + high + 1) // 2))
        self.wait_active()
        return sorted({shard["ShardId"] for shard in self.shards()} - before)

    def merge(self) -> list[str]:
        """Merges the first two open shards; the child's id."""
        before = {shard["ShardId"] for shard in self.shards()}
        first, second = self.open_shards()[:2]
        self.client.merge_shards(StreamName=self.name, ShardToMerge=first["ShardId"], AdjacentShardToMerge=second["ShardId"])
        self.wait_active()
        return sorted({shard["ShardId"] for shard in self.shards()} - before)

    def shard_of(self, partition_key: str) -> str:
        """The open shard that a key's records go to."""
        hashed = int.from_bytes(hashlib.md5(partition_key.encode()).digest(), "big")
        ranges = ((shard["ShardId"], shard["HashKeyRange"]) for shard in self.open_shards())
        return next(name for name, keys in ranges if int(keys["StartingHashKey"]) <= hashed <= int(keys["EndingHashKey"]))

    def poll(self) -> int:
        """Reads on to the ends of all shards, or of those that were chosen; how many records came."""
        before = len(self.records)
        for shard in self.only or [shard["ShardId"] for shard in self.shards()]:
            self.read_on(shard)
        return len(self.records) - before

    def read_on(self, shard: str) -> None:
        """Reads a shard from where the last reading ended, at first from its oldest record."""
        if shard not in self.iterators:
            first = self.client.get_shard_iterator(StreamName=self.name, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
            self.iterators[shard] = first["ShardIterator"]
        while iterator := self.iterators[shard]:
            page = self.client.get_records(ShardIterator=iterator, Limit=10000)
            self.iterators[shard] = page.get("NextShardIterator")
            self.records += [Record(shard, record["PartitionKey"], record["Data"]) for record in page["Records"]]
            if not page["Records"] and page.get("MillisBehindLatest", 0) == 0:
                return
