"""Checks that imports point down: between the folders of src/, between the files of a
folder and between the files of a program. Prints a line for each rule that is broken
and exits with 1 if there is one. scripts/house.sh runs it.

    python3 scripts/imports.py

A module and all below it is one unit among its siblings. In each folder the imports
between its units, and between them and the folder's own file (mod.rs, main.rs or
generator.rs beside generator/), must not form a cycle. A folder's file may declare and
re-export its children freely, that is no import. Test code is left out.
"""
import pathlib
import re
import sys

# A folder may import from the folders with a lower number.
FLOORS = {"net": 0, "wire": 1, "program": 2, "server": 3, "load": 3}
LITERALS = re.compile(
    r'//[^\n]*|/\*.*?\*/|b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?\'(?:\\[^\n]+?|[^\\\'\n])\'', re.S
)
USE = re.compile(r"\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?use\b")
IN_TESTS = re.compile(r"#\[cfg\((?:test|all\(test\b[^\]]*)\)\]")


def blank(match):
    """Spaces instead of what was matched; line numbers stay what they are."""
    return re.sub(r"[^\n]", " ", match.group())


def end_of_item(text, start):
    """The end of the item at `start`: a semicolon or a block, outside of brackets."""
    depth, is_use = 0, USE.match(text, start)
    for place in range(start, len(text)):
        depth += (text[place] in "([{") - (text[place] in ")]}")
        if depth == 0 and (text[place] == ";" or text[place] == "}" and not is_use):
            return place + 1
    return len(text)


def code_of(path):
    """The text without comments, literals and tests."""
    text = LITERALS.sub(blank, path.read_text())
    while match := IN_TESTS.search(text):
        end = end_of_item(text, match.end())
        lines = "\n" * text.count("\n", match.start(), end)
        text = text[: match.start()] + lines + text[end:]
    return re.sub(r"\bpub\s*\([^)]*\)", lambda match: "pub" + " " * (len(match.group()) - 3), text)


def paths_of(tree):
    """All paths of what stands between `use` and `;`."""
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(tree + ","):
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            parts.append(tree[start:place].strip())
            start = place + 1
    for part in filter(None, parts):
        head, brace, rest = part.partition("{")
        names = [name for name in re.split(r"[\s:]+", head.split(" as ")[0]) if name]
        if brace:
            yield from (names + below for below in paths_of(rest.rsplit("}", 1)[0]))
        else:
            yield names


def shortest_way(edges, start, goal):
    """The nodes from `start` to `goal`, both included, or None."""
    ways, seen = [[start]], {start}
    for way in ways:
        if way[-1] == goal:
            return way
        steps = [step for step in sorted(edges.get(way[-1], ())) if step not in seen]
        seen.update(steps)
        ways += [way + [step] for step in steps]
    return None


class Crate:
    def __init__(self, root):
        self.files = {}  # module path -> file
        self.imports = []  # (module, module, "file:line")
        texts = {}
        waiting = [((), root, root.parent)]
        while waiting:
            module, path, folder = waiting.pop()
            self.files[module], texts[module] = path, code_of(path)
            for child in re.findall(r"\bmod\s+(\w+)\s*;", texts[module]):
                below = folder / child
                flat = below.with_suffix(".rs")
                file = flat if flat.exists() else below / "mod.rs"
                waiting.append((module + (child,), file, below))
        for module, text in texts.items():
            self.read(module, text)

    def read(self, module, text):
        children = {name[-1] for name in self.files if name[:-1] == module and name}
        inline = [
            (match.start(), end_of_item(text, match.start()), match[1])
            for match in re.finditer(r"\bmod\s+(\w+)\s*\{", text)
        ]

        def add(names, place, is_public=False):
            within = module + tuple(name for start, end, name in inline if start < place < end)
            target = self.resolve(names, within, children if within == module else set())
            is_export = is_public and target and target[: len(module)] == module
            if target not in (None, module) and not is_export:
                line = text.count("\n", 0, place) + 1
                self.imports.append((module, target, f"{self.files[module]}:{line}"))

        uses = re.compile(r"\b(pub\s+)?use\s+([^;]+);")
        for match in uses.finditer(text):
            for names in paths_of(match[2]):
                add(names, match.start(), bool(match[1]))
        rest = uses.sub(blank, text)
        for match in re.finditer(r"(?<![\w:])\w+(?:\s*::\s*\w+)+", rest):
            add(re.split(r"\s*::\s*", match.group()), match.start())

    def resolve(self, names, module, children):
        """The module of this crate that a path leads to, if it is one of this crate."""
        if names[0] == "crate":
            module, names = (), names[1:]
        elif names[0] in ("self", "super"):
            while names and names[0] in ("self", "super"):
                module, names = module[: len(module) - (names[0] == "super")], names[1:]
        elif names[0] not in children:
            return None
        for name in names:
            if module + (name,) not in self.files:
                break
            module += (name,)
        # An inline module is part of its file.
        while module not in self.files:
            module = module[:-1]
        return module

    def cycles(self, floor):
        """The shortest cycle of each import that is on one, as texts; from a depth on."""
        for folder in sorted({name[:-1] for name in self.files if len(name) > floor}):
            places, edges, seen = {}, {}, set()
            for module, target, place in self.imports:
                if module[: len(folder)] == target[: len(folder)] == folder:
                    pair = self.unit(folder, module), self.unit(folder, target)
                    places.setdefault(pair, place)
            for unit, target in places:
                edges.setdefault(unit, set()).add(target)
            for unit, target in sorted(places):
                way = unit != target and shortest_way(edges, target, unit)
                if way and frozenset(way) not in seen:
                    seen.add(frozenset(way))
                    yield self.describe(folder, [unit, *way], places)

    def unit(self, folder, module):
        """The child of the folder that a module belongs to, or the folder's own file."""
        return module[len(folder)] if module != folder else self.files[folder].name

    def describe(self, folder, circle, places):
        lines = [f"{self.files[folder].parent}: imports in a circle: {' -> '.join(circle)}"]
        lines += [f"    {places[pair]}: {pair[0]} imports {pair[1]}" for pair in zip(circle, circle[1:])]
        return "\n".join(lines)

    def climbs(self):
        for module, target, place in self.imports:
            if not module or target[:1] == module[:1]:
                continue
            if not target:
                yield f"{place}: imports from the crate's root, which is above it"
            elif FLOORS.get(target[0], 99) >= FLOORS.get(module[0], -1):
                yield f"{place}: {module[0]} imports {'::'.join(target)}, which is not below it"


def main():
    library = Crate(pathlib.Path("src/lib.rs"))
    programs = [Crate(root) for root in sorted(pathlib.Path("src/bin").glob("*/main.rs"))]
    folders = {name[0] for name in library.files if name}
    complaints = [f"src/{name} stands on no floor" for name in sorted(folders - FLOORS.keys())]
    complaints += library.climbs()
    complaints += library.cycles(1)
    for program in programs:
        complaints += program.cycles(0)
    if not all(crate.imports for crate in [library, *programs]):
        complaints.append("no imports were found: scripts/imports.py no longer understands them")
    print(*complaints, sep="\n", end="\n" if complaints else "")
    return bool(complaints)


sys.exit(main())
