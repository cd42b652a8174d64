#!/usr/bin/env bash
# Sets up what the tests of the web page need under target/web-page (once; a stamp tells), then runs them in headless
# Chromium. MILLPOND_BIN is the program. Screenshots go to target/web-page/*.png.
#
# What is missing is named and the tests are counted as skipped. With CI set, that is a failure.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
directory=${CARGO_TARGET_DIR:-$root/target}/web-page
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)

# Two runs at once must not install, or work, over each other: held until the last test is done.
exec 9>"$directory/lock"
if command -v flock >/dev/null && ! flock -n 9; then
    echo "web page: another run is on in $directory, waiting for it"
    flock 9
fi

skip_all() {
    echo "skip web page: $1"
    if [ -n "${CI:-}" ]; then echo "CI is set, so this counts as a failure."; fi
    echo "0 passed, 0 failed, 1 skipped"
    if [ -n "${CI:-}" ]; then exit 1; fi
    exit 0
}

# The set-up, up to three times because registries hiccup.
set_up() {
    local want pause
    want="$(node --version) $(cksum <"$here/package-lock.json")"
    if [ -f "$directory/node_modules/stamp" ] && [ "$(cat "$directory/node_modules/stamp")" = "$want" ]; then return 0; fi
    echo "web page: installing playwright-core into $directory/node_modules"
    cp "$here/package.json" "$here/package-lock.json" "$directory/"
    for pause in 2 10 0; do
        if npm ci --prefix "$directory" --ignore-scripts --no-audit --no-fund >"$directory/npm.log" 2>&1; then
            echo "$want" >"$directory/node_modules/stamp"
            return 0
        fi
        sleep "$pause"
    done
    tail -n 15 "$directory/npm.log" | cut -c 1-300 | sed 's/^/    | /'
    return 1
}

chromium=${CHROMIUM:-$(command -v chromium || true)}
[ -n "$chromium" ] || skip_all "chromium is missing (Debian: apt-get install chromium)"
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    skip_all "node and npm are missing (Debian: apt-get install nodejs, and npm unless that brought it)"
fi
node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' || skip_all "node $(node --version) is older than 20"
set_up || skip_all "playwright-core could not be installed from npm, see $directory/npm.log"

export MILLPOND_BIN=${MILLPOND_BIN:-$root/target/debug/millpond}
[ -x "$MILLPOND_BIN" ] || { echo "web page: $MILLPOND_BIN is not there; cargo build -p millpond" >&2; exit 1; }
export CHROMIUM=$chromium WEB_PAGE_DIRECTORY=$directory
exec node "$here/test.mjs" "$@"
