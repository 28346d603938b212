#!/usr/bin/env bash
# Brings known bugs back, one at a time and in a copy, and shows that a test fails
# on each. Every patch in tests/zoo/ says what the bug is, what comes of it and which
# test is to fail. One that no longer applies or compiles is an error, and one that
# no test notices means that a test is missing.
#
#   scripts/zoo.sh [NUMBER...]
#   scripts/zoo.sh --check        only that all of them apply
set -euo pipefail
cd "$(dirname "$0")/.."
zoo=$PWD/tests/zoo copy=$PWD/target/zoo/copy
export CARGO_TARGET_DIR=$PWD/target/zoo/build
# However a test fails: by an answer, or by none.
patience=120

if [ "${1:-}" = --check ]; then
    for patch in "$zoo"/*.patch; do git apply --check "$patch"; done
    exit
fi

rm -rf "$copy" && mkdir -p "$copy"
git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -cf - | tar -xf - -C "$copy"
cd "$copy"
# Built once before, so that each bug is built quickly.
cargo test --locked --quiet --no-run

# killed PATCH: applies it, runs its test, takes it back; says what came of it.
killed() {
    local bug test verdict=survived
    bug=$(sed -n 's/^Bug: //p' "$1") test=$(sed -n 's/^Test: //p' "$1")
    git apply "$1" 2>"$copy/.why" || { verdict='does not apply'; bug=$(<"$copy/.why"); }
    if [ "$verdict" = survived ]; then
        # shellcheck disable=SC2086
        if [[ $test = cargo* ]] && ! cargo test --locked --quiet --no-run ${test#cargo test} 2>"$copy/.why"; then
            verdict='does not compile'
        elif ! timeout --kill-after=5 "$patience" $test </dev/null >"$copy/.why" 2>&1; then
            verdict=killed
        fi
        git apply -R "$1"
    fi
    printf '%-9s %s: %s (%s)\n' "$verdict" "$(basename "$1" .patch)" "$bug" "$test"
    [ "$verdict" = killed ]
}

all=0 dead=0
for patch in "$zoo"/*.patch; do
    number=$(basename "$patch"); number=${number%%-*}
    [[ $# -eq 0 || " $* " = *" $number "* ]] || continue
    all=$((all + 1))
    if killed "$patch"; then dead=$((dead + 1)); fi
done
echo "$dead of $all killed"
((all > 0 && dead == all))
