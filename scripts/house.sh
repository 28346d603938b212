#!/usr/bin/env bash
# The rules of the house that can be checked: no file over 400 lines, `unsafe` in
# src/net/sys.rs alone, imports only point down (scripts/imports.py).
set -euo pipefail
cd "$(dirname "$0")/.."
broken=0
complain() { echo "$*" >&2; broken=1; }

while read -r lines file; do
    ((lines <= 400)) || complain "$file has $lines lines"
done < <(find src tests examples benches scripts -type f \( -name '*.rs' -o -name '*.sh' -o -name '*.py' -o -name '*.awk' \) -exec wc -l {} + | grep -v ' total$')

# The peers that ours is compared with may: the bare loop is raw system calls on purpose.
while read -r file; do
    complain "$file: unsafe code outside src/net/sys.rs"
done < <(grep -rlE '\bunsafe\b *(\{|fn|impl)|allow\(unsafe_code\)' --include='*.rs' src tests examples benches | grep -vxE 'src/net/sys.rs|tests/(it/)?unsafe_code.rs|benches/peers/.*')

python3 scripts/imports.py >&2 || broken=1
exit "$broken"
