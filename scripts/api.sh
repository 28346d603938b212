#!/usr/bin/env bash
# Compares the public face of the library with docs/api.txt, so that a review shows what
# changes for its users. The features of the programs are off, and so are the parts.
#
#   scripts/api.sh             prints the differences, and exits with 1 if there are any
#   scripts/api.sh --update    writes docs/api.txt
#
# The declarations are those of rustdoc's pages. Each version of rustdoc may write them in
# its own way, so this is the oldest that the package supports.
set -euo pipefail
cd "$(dirname "$0")/.."
[[ $# -eq 0 || $* = --update ]] || { echo "usage: scripts/api.sh [--update]" >&2; exit 2; }
rust=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
cargo "+$rust" --version >/dev/null 2>&1 || rustup toolchain install "$rust" --profile minimal
out=${CARGO_TARGET_DIR:-target}/msrv
rm -rf "$out/doc"
cargo "+$rust" doc --locked --quiet --lib --no-deps --no-default-features --target-dir "$out"

python3 - "$out/doc/reactor_server" >"$out/api.txt" <<'PYTHON'
import html, pathlib, re, sys

def text(code):
    """A declaration as text, on one line unless it has fields, variants or methods."""
    # A long list is folded behind a summary.
    code = re.sub(r"<summary[^>]*>.*?</summary>", "", code, flags=re.S)
    code = re.sub(r"<div class=\"(where|docblock)[^>]*>", " ", code)
    code = html.unescape(re.sub(r"<[^>]*>", "", code))
    return re.sub(r"\](?=pub |#)", "]\n", code).rstrip()

folder = pathlib.Path(sys.argv[1])
pages = re.findall(r'<li><a href="([^"]+)">([^<]+)</a>', (folder / "all.html").read_text())
for page, name in pages:
    # What every type has automatically comes last, and is left out.
    body = (folder / page).read_text().split('id="synthetic-implementations"')[0]
    body = body.split('id="implementors"')[0]
    item = re.search(r'<pre class="rust item-decl"><code>(.*?)</code></pre>', body, re.S)
    print(text(item[1]))
    is_own = False
    for code in re.findall(r'<h[34] class="code-header">(.*?)</h[34]>', body, re.S):
        line = re.sub(r"\s+", " ", text(code))
        if line.startswith("impl") and "StructuralPartialEq" not in line:
            print(line)
            # The methods of a trait stand in its declaration.
            is_own = " for " not in line
        elif is_own and line.startswith("pub "):
            print(f"    {line}")
    print()
PYTHON
[ "$(grep -c '^pub ' "$out/api.txt")" -ge 10 ] || { echo "error: rustdoc's pages are not understood" >&2; exit 1; }

if [ "${1:-}" = --update ]; then
    cp "$out/api.txt" docs/api.txt
else
    diff -u docs/api.txt "$out/api.txt" || { echo "the public face changed: scripts/api.sh --update" >&2; exit 1; }
fi
