#!/usr/bin/env python3
"""Runs the interop tests. Started by `run.sh`, with the Python that it set up.

Exit 0: no test failed (nor, when CI is set, was skipped). The last line counts for every reader:
`N passed, N failed, N skipped`.
"""

import argparse
import os
import re
import shutil
import sys
import time
from pathlib import Path

import test_proof
from bench import Bench, Case
from botocore.exceptions import BotoCoreError, ClientError
from cases import cases
from endpoints import NAMES, Endpoint, start, tail
from forwarder import Failed, Forwarder, Skipped

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


class Tally:
    """Counts, and one line per test."""

    def __init__(self) -> None:
        self.passed = self.failed = self.skipped = 0

    def say(self, word: str, name: str, text: str = "") -> None:
        """One test's outcome."""
        setattr(self, word, getattr(self, word) + 1)
        mark = {"passed": "ok  ", "failed": "FAIL", "skipped": "skip"}[word]
        print(f"{mark} interop {name}{': ' + text if text else ''}", flush=True)

    def close(self) -> int:
        """The closing line and the exit code."""
        if self.skipped and os.environ.get("CI"):
            print(f"CI is set, so {self.skipped} skipped tests count as a failure: the machine lacks what the lines above name.")
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        return 1 if self.failed or (self.skipped and os.environ.get("CI")) else 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=TARGET / "interop", help="where venv, node_modules and work are")
    parser.add_argument("--binary", default=os.environ.get("MILLPOND_BIN", str(TARGET / "debug/millpond")), help="the forwarder (MILLPOND_BIN)")
    parser.add_argument("--endpoint-binary", help="whose `local-kinesis` is the endpoint `embedded`; by default that of --binary")
    parser.add_argument("--endpoint", action="append", choices=NAMES, help="only this one")
    parser.add_argument("--only", default="", help="only tests whose name matches this regular expression")
    parser.add_argument("--skip", action="append", default=[], metavar="WHAT=REASON", help="an endpoint, or what else tests need, that cannot be had")
    return parser.parse_args()


def run_case(options: argparse.Namespace, endpoint: Endpoint, case: Case, tally: Tally) -> None:
    """One test, in an empty directory."""
    directory = options.directory / "work" / re.sub("[^a-z0-9]+", "-", f"{endpoint.name} {case.name}")
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "logs").mkdir(parents=True)
    title = f"{endpoint.name}: {case.name}"
    forwarder = Forwarder(options.binary, directory)

    def start_endpoint(name: str, work: Path, settings: dict | None, host: str) -> Endpoint:
        return start(name, options.directory, options.endpoint_binary, work, settings, host)

    bench = Bench(endpoint, directory, ROOT / "fixtures" / "logs", forwarder, start_endpoint)
    began = time.monotonic()
    try:
        case.run(bench)
        tally.say("passed", title, f"{time.monotonic() - began:.1f} s")
    except Skipped as reason:
        tally.say("skipped", title, str(reason))
    except (Failed, BotoCoreError, ClientError, RuntimeError, OSError) as error:
        tally.say("failed", title, str(error) or repr(error))
        print(forwarder.story(), flush=True)
        if bench.endpoint.process.poll() is not None:
            ended = f"{bench.endpoint.name} has ended, exit code {bench.endpoint.process.returncode}"
            print(f"    {ended}:\n{tail(bench.endpoint.log)}", flush=True)
    finally:
        forwarder.kill()
        if bench.endpoint is not endpoint:
            bench.endpoint.stop()


def run_endpoint(options: argparse.Namespace, name: str, tally: Tally) -> None:
    """All tests that were asked for, on one endpoint."""
    reasons = dict(one.split("=", 1) for one in options.skip)
    wanted = []
    for case in cases(name):
        if not re.search(options.only, case.name):
            continue
        reason = next((reasons[need] for need in (name, *case.needs) if need in reasons), None)
        if reason:
            tally.say("skipped", f"{name}: {case.name}", reason)
        else:
            wanted.append(case)
    if not wanted:
        return
    endpoint = start(name, options.directory, options.endpoint_binary, options.directory / "work")
    try:
        for case in wanted:
            run_case(options, endpoint, case, tally)
    finally:
        endpoint.stop()


def main() -> int:
    """Everything."""
    options = arguments()
    options.directory = options.directory.resolve()
    tally = Tally()
    blind = test_proof.run()
    tally.say("failed" if blind else "passed", "the checks see what they should", "; ".join(blind))
    if not shutil.which(options.binary):
        print(f"{options.binary} is not there: build it with `cargo build -p millpond`, or name another with MILLPOND_BIN.")
        return 2
    options.binary = str(Path(shutil.which(options.binary)).resolve())
    options.endpoint_binary = options.endpoint_binary or options.binary
    for name in options.endpoint or NAMES:
        run_endpoint(options, name, tally)
    return tally.close()


if __name__ == "__main__":
    sys.exit(main())
