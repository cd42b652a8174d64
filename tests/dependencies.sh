#!/usr/bin/env bash
# What the crates may depend on. The arrows of the workspace are checked here because nobody sees them in a review.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0

# tree PACKAGE...: what these packages are built from, one `name version` a line.
tree() {
    local packages=()
    for package in "$@"; do packages+=(-p "$package"); done
    cargo tree --locked "${packages[@]}" -e normal,build --target all --prefix none | sed 's/ (.*//' | sort -u
}

# without PACKAGE PATTERN WHY: none of the package's dependencies has a name like this.
without() {
    local found
    found=$(tree "$1" | grep -E "^($2) " | paste -sd ',' || true)
    if [ -n "$found" ]; then
        echo "FAIL $1 depends on $found: $3"
        failed=1
    else
        echo "ok   $1 without $2"
    fi
}

without millpond-queue "tokio|hyper|aws-.*|axum|millpond-kinesis|millpond-local-kinesis" \
    "the queue is synchronous and knows no network"
without millpond-kinesis "millpond-queue|millpond|sled|axum" "sending knows nothing of the disk"
without millpond-local-kinesis "millpond-queue|millpond|aws-.*" \
    "the embedded endpoint shares no code with what it tests"
without millpond "openssl-sys|native-tls|ring" "one TLS stack: rustls with aws-lc-rs"
# Features are unified over the whole tree: one crate that asks for another back end would slow everybody down.
without millpond "miniz_oxide|libz-sys|libz-ng-sys|cloudflare-zlib-sys" "flate2's back end is zlib-rs, and no other"

if ! tree millpond | grep -q '^zlib-rs '; then
    echo "FAIL flate2 is built without zlib-rs"
    failed=1
fi
exit "$failed"
