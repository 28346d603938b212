#!/usr/bin/env bash
# Builds server and client as static programs (musl), and runs them in a root folder that
# holds nothing else, as a user who is not root: what the image of
# scripts/container/Dockerfile is.
#
#   scripts/static.sh [release]      the release build, or by default the debug build
#
# It installs the target of rustup if it is missing, and needs unshare and chroot. Exits
# with 1 if anything is linked dynamically, does not run there, or loses a byte.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${1:-debug}
[[ $profile == debug || $profile == release ]] || { echo "usage: scripts/static.sh [release]" >&2; exit 2; }
fail() { echo "error: $*" >&2; exit 1; }

target=$(uname -m)-unknown-linux-musl
[ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ] || rustup target add "$target"
flags=(--locked --quiet --bins --target "$target")
[[ $profile == debug ]] || flags+=(--release)
cargo build "${flags[@]}"
built=${CARGO_TARGET_DIR:-target}/$target/$profile

root=$(mktemp -d) server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$root"' EXIT
cp "$built/server" "$built/client" "$root"
chmod 755 "$root"
# inside COMMAND...: runs it in that root folder, as nobody. Without root a user namespace
# makes that possible.
inside() {
    ((UID)) || exec chroot --userspec=65534:65534 "$root" "$@"
    exec unshare --user --map-root-user chroot "$root" "$@"
}
! ldd "$root/server" 2>/dev/null | grep -q '=>' || fail "the server is linked dynamically"

(inside /server 127.0.0.1 0 --admin 127.0.0.1:0) >"$root/out" 2>"$root/log" &
server=$!
for _ in {1..100}; do
    grep -q 'live page' "$root/out" && break
    sleep 0.1
done
address=$(sed -n 's/^listening on //p' "$root/out")
[ -n "$address" ] || fail "the server does not start: $(cat "$root/log")"
(inside /client "$address" -c 50 -n 200 -q) || fail "the client has no results"
kill -TERM "$server"
wait "$server" || fail "the server did not drain: exit $?"
server=
tail -1 "$root/log"
stat -c '%n: %s bytes' "$built/server" "$built/client"
