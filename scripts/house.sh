#!/usr/bin/env bash
# The rules of the house that can be checked: no file over 400 lines, `unsafe` in
# src/sys.rs alone, imports only point down.
set -euo pipefail
cd "$(dirname "$0")/.."
broken=0
complain() { echo "$*" >&2; broken=1; }

while read -r lines file; do
    ((lines <= 400)) || complain "$file has $lines lines"
done < <(find src tests examples benches scripts -type f \( -name '*.rs' -o -name '*.sh' -o -name '*.py' \) -exec wc -l {} + | grep -v ' total$')

# What ours is compared with is no part of it: the floor is raw system calls on purpose.
while read -r file; do
    complain "$file: unsafe code outside src/sys.rs"
done < <(grep -rlE '\bunsafe\b *(\{|fn|impl)|allow\(unsafe_code\)' --include='*.rs' src tests examples benches | grep -vxE 'src/sys.rs|tests/unsafe_code.rs|benches/peers/.*')

# The floors, from the ground up; a file may import from below its own.
floors=(
    "sys sync token buffer codec reason replies"
    "connection deadlines handler limits poll program slab socket stats"
    "mailbox events bet"
    "dispatch seats rota spin"
    "peer"
    "service mail"
    "reactor acceptor"
    "server load"
)
declare -A floor
for number in "${!floors[@]}"; do
    for name in ${floors[number]}; do floor[$name]=$number; done
done
for path in src/*.rs src/load/*.rs src/program/*.rs; do
    name=${path#src/} name=${name%%/*} name=${name%.rs}
    [ "$name" = lib ] && continue
    [ -n "${floor[$name]:-}" ] || { complain "$path stands on no floor"; continue; }
    # Tests may use whatever they like.
    for import in $(sed '/#\[cfg(test)\]/,$d' "$path" | grep -v '^ *//' | grep -oE 'crate::[a-z_]+' | sed 's/crate:://' | sort -u); do
        [ "$import" = "$name" ] && continue
        ((${floor[$import]:-99} < ${floor[$name]})) || complain "$path imports $import, which is not below it"
    done
done
exit "$broken"
