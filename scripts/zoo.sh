#!/usr/bin/env bash
# Brings known bugs back, one at a time and in a copy, and shows that a test fails on
# each. An entry of tests/zoo/ begins with what the bug is, what it leads to and which
# test must fail. Its replacements follow: an empty line, `--- FILE`, the old lines, `+++`,
# the new lines. The old lines must occur exactly once in the file.
#
# An entry that does not apply or compile is an error, and so is one that no test
# notices. To show that the bug makes the test fail, the test must pass without it first.
# Where the compiler must refuse a bug, the entry says "Expect: does not compile".
#
#   scripts/zoo.sh [NUMBER...]
#   scripts/zoo.sh --check        only check that all of them apply
set -euo pipefail
cd "$(dirname "$0")/.."
zoo=$PWD/tests/zoo target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
copy=$target/zoo/copy
export CARGO_TARGET_DIR=$target/zoo/build
# A test may hang instead of failing. The first run may have to build it.
patience=120 building=900

# replace check|apply|restore ENTRY...: in the files of this folder.
replace() {
    python3 - "$@" <<'EOF'
import os, re, sys

def replacements(entry):
    for part in re.split(r"^\n--- ", open(entry).read(), flags=re.M)[1:]:
        path, _, lines = part.partition("\n")
        old, _, new = lines.partition("+++\n")
        # Whole lines: each is found with the line break before it.
        yield path, "\n" + old, "\n" + new

mode, failed = sys.argv[1], False
for entry in sys.argv[2:]:
    texts = {}
    for path, old, new in replacements(entry):
        if mode == "restore":
            if os.path.exists(path + ".original"):
                os.replace(path + ".original", path)
                os.utime(path)
            continue
        text = texts.setdefault(path, "\n" + open(path).read())
        if text.count(old) != 1:
            print(f"{os.path.basename(entry)}: its old lines occur {text.count(old)} times in {path}")
            failed = True
        texts[path] = text.replace(old, new)
    if mode == "apply" and not failed:
        for path, text in texts.items():
            os.rename(path, path + ".original")
            open(path, "w").write(text[1:])
sys.exit(failed)
EOF
}

if [ "${1:-}" = --check ]; then
    replace check "$zoo"/*.bug
    exit
fi

rm -rf "$copy" && mkdir -p "$copy"
# With new times: what was built last may contain the last bug.
git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -cf - | tar -xmf - -C "$copy"
cd "$copy"
# Built once before, so that each bug is built quickly.
cargo test --locked --quiet --no-run

# passes TEST SECONDS: whether it does within that time. Its output is in .output.
passes() {
    # shellcheck disable=SC2086
    timeout --kill-after=5 "$2" $1 </dev/null >"$copy/.output" 2>&1
}

# failure: what the failure of a test was. One that never began to run has not noticed anything.
failure() {
    if grep -q 'could not compile' "$copy/.output"; then
        echo 'does not compile'
    elif grep -qE '[Rr]unning ' "$copy/.output"; then
        echo killed
    else
        echo 'did not run'
    fi
}

# killed ENTRY: applies it, runs its test, restores the files and prints the verdict.
killed() {
    local bug test expected verdict=survived
    bug=$(sed -n 's/^Bug: //p' "$1") test=$(sed -n 's/^Test: //p' "$1")
    expected=$(sed -n 's/^Expect: //p' "$1")
    if replace apply "$1"; then
        passes "$test" "$patience" || verdict=$(failure)
    else
        verdict='does not apply'
    fi
    replace restore "$1"
    [ "$verdict" != "${expected:-killed}" ] || verdict=killed
    printf '%-9s %s: %s (%s)\n' "$verdict" "$(basename "$1" .bug)" "$bug" "$test"
    [ "$verdict" = killed ]
}

selected=()
for entry in "$zoo"/*.bug; do
    number=$(basename "$entry"); number=${number%%-*}
    if [[ $# -eq 0 || " $* " = *" $number "* ]]; then selected+=("$entry"); fi
done
all=${#selected[@]} dead=0
((all > 0)) || { echo "no entry has such a number" >&2; exit 1; }

sed -n 's/^Test: //p' "${selected[@]}" | sort -u >"$copy/.tests"
while read -r test; do
    passes "$test" "$building" || { tail -n 20 "$copy/.output"; echo "fails without any bug: $test"; exit 1; } >&2
done <"$copy/.tests"

for entry in "${selected[@]}"; do
    if killed "$entry"; then dead=$((dead + 1)); fi
done
echo "$dead of $all killed"
((dead == all))
