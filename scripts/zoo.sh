#!/usr/bin/env bash
# Brings known bugs back, one at a time and in a copy, and shows that a test fails
# on each. Every patch in tests/zoo/ says what the bug is, what comes of it and which
# test is to fail. One that no longer applies or compiles is an error, and one that
# no test notices means that a test is missing. So that a failure is the bug's doing,
# each of those tests must pass without it first.
#
#   scripts/zoo.sh [NUMBER...]
#   scripts/zoo.sh --check        only that all of them apply
set -euo pipefail
cd "$(dirname "$0")/.."
zoo=$PWD/tests/zoo copy=$PWD/target/zoo/copy
export CARGO_TARGET_DIR=$PWD/target/zoo/build
# However a test fails: by an answer, or by none. The first time it may have to be built.
patience=120 building=900

if [ "${1:-}" = --check ]; then
    for patch in "$zoo"/*.patch; do git apply --check "$patch"; done
    exit
fi

rm -rf "$copy" && mkdir -p "$copy"
# As new as can be: what was built last may have the last bug in it.
git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -cf - | tar -xmf - -C "$copy"
cd "$copy"
# Built once before, so that each bug is built quickly.
cargo test --locked --quiet --no-run

# passes TEST SECONDS: whether it does within that time. What it says is in .why.
passes() {
    # shellcheck disable=SC2086
    timeout --kill-after=5 "$2" $1 </dev/null >"$copy/.why" 2>&1
}

# What a failure was: a test that never began to run has not noticed anything.
failure() {
    if grep -q 'could not compile' "$copy/.why"; then
        echo 'does not compile'
    elif grep -qE '[Rr]unning ' "$copy/.why"; then
        echo killed
    else
        echo 'did not run'
    fi
}

# killed PATCH: applies it, runs its test, takes it back; says what came of it.
killed() {
    local bug test verdict=survived
    bug=$(sed -n 's/^Bug: //p' "$1") test=$(sed -n 's/^Test: //p' "$1")
    git apply "$1" 2>"$copy/.why" || { verdict='does not apply'; bug=$(<"$copy/.why"); }
    if [ "$verdict" = survived ]; then
        passes "$test" "$patience" || verdict=$(failure)
        git apply -R "$1"
    fi
    printf '%-9s %s: %s (%s)\n' "$verdict" "$(basename "$1" .patch)" "$bug" "$test"
    [ "$verdict" = killed ]
}

selected=()
for patch in "$zoo"/*.patch; do
    number=$(basename "$patch"); number=${number%%-*}
    if [[ $# -eq 0 || " $* " = *" $number "* ]]; then selected+=("$patch"); fi
done
all=${#selected[@]} dead=0
((all > 0)) || { echo "no patch has such a number" >&2; exit 1; }

sed -n 's/^Test: //p' "${selected[@]}" | sort -u >"$copy/.tests"
while read -r test; do
    passes "$test" "$building" || { tail -n 20 "$copy/.why"; echo "fails without any bug: $test"; exit 1; } >&2
done <"$copy/.tests"

for patch in "${selected[@]}"; do
    if killed "$patch"; then dead=$((dead + 1)); fi
done
echo "$dead of $all killed"
((dead == all))
