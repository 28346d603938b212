#!/usr/bin/env bash
# Puts faults to a TCP echo server, one row each, and prints which it survived.
#
#   scripts/faults.sh [ROW...] [--all] [--soak MINUTES] [-- COMMAND with {port}]
#
# Without a command it is this project's server. The quick rows take a minute;
# --all adds the long ones and runs every row in full. It installs nothing: a row
# whose tool or privilege is missing is skipped, with the reason.
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo test --release --quiet --locked --test faults -- "$@"
