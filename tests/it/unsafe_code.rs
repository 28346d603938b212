//! Every `unsafe` block is in src/net/sys.rs, with a comment on why it is safe.

use std::fs;
use std::path::{Path, PathBuf};

/// How many there are. A new one is a decision, and changes this number.
const BLOCKS: usize = 34;

/// The Rust files of a folder and all that are in it.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    // The peers of the benchmarks are no part of it.
    let paths = paths.filter(|path| !path.ends_with("benches/peers"));
    let files = paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// The indices of the lines with the word `unsafe`, comments aside; twice if it is there twice.
fn unsafe_lines(text: &str) -> Vec<usize> {
    let code = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    let is_unsafe = |word: &&str| *word == "unsafe";
    let count = |line| code(line).split(|c| !is_of_word(c)).filter(is_unsafe).count();
    text.lines().enumerate().flat_map(|(at, line)| vec![at; count(line)]).collect()
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Returns whether a comment above a line says why it is safe. Between the two there may be
/// attributes and the beginning of the statement.
fn is_explained(lines: &[&str], at: usize) -> bool {
    let mut above = lines[..at].iter().rev().map(|line| line.trim());
    let comment = above.find(|line| !line.starts_with("#[") && !line.ends_with('='));
    let reason = comment.into_iter().chain(above).take_while(|line| line.starts_with("//")).last();
    reason.is_some_and(|line| line.starts_with("// SAFETY: "))
}

/// The indices of the lines with an `unsafe` that nothing explains.
fn unexplained(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().collect();
    unsafe_lines(text).into_iter().filter(|&at| !is_explained(&lines, at)).collect()
}

#[test]
fn every_unsafe_block_is_in_one_file_and_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| fs::read_to_string(path).expect("a file");
    let sys = root.join("src/net/sys.rs");
    for path in ["src", "examples", "benches"].iter().flat_map(|folder| sources(&root.join(folder)))
    {
        let lines = unsafe_lines(&read(&path));
        assert!(path == sys || lines.is_empty(), "{}: {lines:?}", path.display());
    }
    let sys = read(&sys);
    let unexplained: Vec<_> = unexplained(&sys).iter().map(|index| index + 1).collect();
    assert!(unexplained.is_empty(), "lines of src/net/sys.rs: {unexplained:?}");
    assert_eq!(unsafe_lines(&sys).len(), BLOCKS);
    assert_eq!(sys.matches("// SAFETY: ").count(), BLOCKS);
}

#[test]
fn an_unexplained_block_is_found() {
    let explained = "// SAFETY: it is.\n// Really.\n#[cold]\nlet a =\n    unsafe { a() };\n";
    assert!(unexplained(explained).is_empty());
    assert_eq!(unexplained(&explained.replace("SAFETY: ", "")), [4]);
    assert_eq!(unexplained(&explained.replace("#[cold]", "b();")), [4]);
    assert_eq!(unexplained("// SAFETY: it is.\nunsafe { a() };\nunsafe { b() };"), [2]);
    assert_eq!(unsafe_lines("unsafe { a(unsafe { b() }) }; // unsafe\nunsafe_code();"), [0, 0]);
}
