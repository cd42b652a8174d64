#!/usr/bin/env bash
# Sees the interop tests fail: a stand-in for the forwarder does one thing wrong at a time.
# Before that, the stand-in does everything right, and they all have to pass.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
directory=${CARGO_TARGET_DIR:-$root/target}/interop
# It has no words for what goes wrong: instead of hearing them, the tests wait so long.
export MILLPOND_BIN=$here/standin.py INTEROP_SILENCE_SECONDS=2
"$here/run.sh" --set-up-only
# The stand-in needs the modules of the set-up's Python.
export PATH=$directory/venv/bin:$PATH

# First it does everything right, but for the test in which an answer gets lost: there it repeats events without a word. A
# stand-in that fails at all would make every fault look seen.
"$here/run.sh" --endpoint kinesis-local --endpoint moto --only '^(?!proxy that goes away)' | sed '$s/^/stand-in: /'

passed=0 failed=0
for pair in \
    "lose:restarted" "repeat:restarted" "count:restarted" "size:restarted" "plain:restarted" "forget:restarted" "linger:restarted" \
    "rebuild:json unchanged, gzip" "trim:standard input" "host:standard input" "key:ordered" "swap:ordered" \
    "direct:proxy by setting" "direct:proxy by environment" "proxied:no proxy" "trust:tls, unknown authority" \
    "trust:tls, another name" "trust:tls, run out" "generous:signed" "generous:role with an external id" \
    "bare:role with an external id" "stubborn:secret replaced" "repeat:resharded under load" "lose:creating"; do
    fault=${pair%%:*} test=${pair#*:}
    case $test in
        proxy* | no* | tls* | creating) endpoint=kinesis-local ;;
        *) endpoint=moto ;;
    esac
    if output=$(STANDIN_FAULT=$fault INTEROP_WAIT_SECONDS=5 "$here/run.sh" --endpoint "$endpoint" --only "^$test\$" 2>&1); then
        echo "FAIL a forwarder with the fault '$fault' passes the test '$test'"
        failed=$((failed + 1))
    else
        echo "ok   fault '$fault' is seen: $(grep -m1 '^FAIL' <<<"$output" | cut -c1-160)"
        passed=$((passed + 1))
    fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
