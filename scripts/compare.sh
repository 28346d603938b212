#!/usr/bin/env bash
# Compares this project's server with others in one run: rate, CPU and system calls per
# echo, threads, memory. `scripts/compare.sh --help` lists what can be selected, --quick
# takes three minutes. It installs nothing: a server that cannot be built is left out, and
# listed as missing. They need Debian's golang, libasio-dev, libuv1-dev and libevent-dev;
# counting system calls needs linux-perf and root.
set -euo pipefail
cd "$(dirname "$0")/.."
peers=benches/peers build=${CARGO_TARGET_DIR:-target}/compare/build
bin=$build/release
case " $* " in
    *' -h '* | *' --help '*) sed -n '/USAGE: &str/,/^";/{//d;p}' "$peers/compare/cli.rs" && exit ;;
esac
cargo build --release --locked --quiet --bins
cargo build --release --locked --quiet --manifest-path "$peers/Cargo.toml" --target-dir "$build"

# has COMPILER HEADER [LANGUAGE]: returns whether a program with this header can be compiled.
has() { echo "#include <$2>" | "$1" -E -x "${3:-c}" - >/dev/null 2>&1; }

rm -f "$bin"/peer-{go,asio,libuv,libevent}
! command -v go >/dev/null || go build -o "$bin/peer-go" "$peers/go/echo.go"
! has c++ asio.hpp c++ || c++ -std=c++17 -O2 -Wall -Wextra -DASIO_STANDALONE -o "$bin/peer-asio" "$peers/asio/echo.cpp" -pthread
! has cc uv.h || cc -O2 -Wall -Wextra -o "$bin/peer-libuv" "$peers/libuv/echo.c" -luv -pthread
! has cc event2/event.h || cc -O2 -Wall -Wextra -o "$bin/peer-libevent" "$peers/libevent/echo.c" -levent_core -pthread
exec "$bin/compare" "$@"
