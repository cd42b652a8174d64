#!/usr/bin/env bash
# Sets up what the interop tests need under target/interop (once; stamps tell), then runs them.
# Arguments go to run.py; `--set-up-only` stops after the set-up.
#
# What is missing is named and its tests are counted as skipped. With CI set, that is a failure.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
directory=${CARGO_TARGET_DIR:-$root/target}/interop
venv=$directory/venv
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1

# Two runs at once must not install, or work, over each other: held until the last test is done.
exec 9>"$directory/lock"
if command -v flock >/dev/null && ! flock -n 9; then
    echo "interop: another run is on in $directory, waiting for it"
    flock 9
fi

# Without Python nobody can count the tests: the endpoints are counted.
skip_all() {
    echo "skip interop: $1"
    if [ -n "${CI:-}" ]; then echo "CI is set, so this counts as a failure."; fi
    echo "0 passed, 0 failed, 3 skipped"
    if [ -n "${CI:-}" ]; then exit 1; fi
    exit 0
}

# stamped FILE CONTENT: whether FILE says that CONTENT is installed.
stamped() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# try LOG COMMAND...: a set-up step, up to three times because registries hiccup; the log is shown when it fails.
try() {
    local log=$1 pause
    shift
    for pause in 2 10 0; do
        if "$@" >"$log" 2>&1; then return 0; fi
        sleep "$pause"
    done
    tail -n 15 "$log" | cut -c 1-300 | sed 's/^/    | /'
    return 1
}

set_up_python() {
    local want
    want="$(python3 --version) $(cksum <"$here/requirements.txt")"
    if stamped "$venv/stamp" "$want" && [ -x "$venv/bin/python" ]; then return 0; fi
    echo "interop: installing boto3 and moto into $venv"
    rm -rf "$venv"
    try "$directory/venv.log" python3 -m venv "$venv" || return 1
    try "$directory/pip.log" "$venv/bin/python" -m pip install --quiet --no-input --no-deps -r "$here/requirements.txt" || return 1
    try "$directory/pip.log" "$venv/bin/python" -m pip check || return 1
    echo "$want" >"$venv/stamp"
}

set_up_node() {
    local want
    want="$(node --version) $(cksum <"$here/package-lock.json")"
    if stamped "$directory/node_modules/stamp" "$want"; then return 0; fi
    echo "interop: installing kinesis-local into $directory/node_modules"
    cp "$here/package.json" "$here/package-lock.json" "$directory/"
    try "$directory/npm.log" npm ci --prefix "$directory" --ignore-scripts --no-audit --no-fund || return 1
    echo "$want" >"$directory/node_modules/stamp"
}

command -v python3 >/dev/null || skip_all "python3 is missing (Debian: apt-get install python3 python3-venv)"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || skip_all "$(python3 --version) is older than 3.11"
python3 -c 'import ensurepip, venv' 2>/dev/null || skip_all "python3 cannot make a venv (Debian: apt-get install python3-venv)"
set_up_python || skip_all "boto3 and moto could not be installed from PyPI, see $directory/pip.log"

skips=()
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    skips=(--skip "kinesis-local=node and npm are missing (Debian: apt-get install nodejs, and npm unless that brought it)")
elif ! set_up_node; then
    skips=(--skip "kinesis-local=could not be installed from npm, see $directory/npm.log")
fi

# Where Debian puts it is not in every user's PATH.
export PATH=$PATH:/usr/sbin
if ! command -v tinyproxy >/dev/null; then
    skips+=(--skip "tinyproxy=tinyproxy is missing (Debian: apt-get install tinyproxy-bin)")
fi

if ! command -v curl >/dev/null; then
    skips+=(--skip "curl=curl is missing (Debian: apt-get install curl)")
fi

if [ "${1:-}" = --set-up-only ]; then exit 0; fi
exec "$venv/bin/python" "$here/run.py" --directory "$directory" ${skips[@]+"${skips[@]}"} "$@"
