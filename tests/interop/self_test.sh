#!/usr/bin/env bash
# Sees the interop tests fail: a stand-in for the forwarder does one thing wrong at a time.
# Also runs them all with the stand-in doing everything right.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
directory=${CARGO_TARGET_DIR:-$root/target}/interop
export MILLPOND_BIN=$here/standin.py
"$here/run.sh" --set-up-only
# The stand-in needs the modules of the set-up's Python.
export PATH=$directory/venv/bin:$PATH

passed=0 failed=0
for pair in \
    "lose:restarted" "repeat:restarted" "count:restarted" "size:restarted" "plain:restarted" "forget:restarted" "linger:restarted" \
    "rebuild:json unchanged, gzip" "trim:standard input" "host:standard input" "key:ordered" "swap:ordered"; do
    fault=${pair%%:*} test=${pair#*:}
    if output=$(STANDIN_FAULT=$fault INTEROP_WAIT_SECONDS=5 "$here/run.sh" --endpoint moto --only "^$test\$" 2>&1); then
        echo "FAIL a forwarder with the fault '$fault' passes the test '$test'"
        failed=$((failed + 1))
    else
        echo "ok   fault '$fault' is seen: $(grep -m1 '^FAIL' <<<"$output" | cut -c1-160)"
        passed=$((passed + 1))
    fi
done
"$here/run.sh" --endpoint kinesis-local --endpoint moto | sed '$s/^/stand-in: /'
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
