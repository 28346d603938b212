//! `--payload`: the bytes of every message, on the command line or in a file.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reactor_server::program::framing::FramingFlag;
use reactor_server::program::stream::Stream;

use super::values::LONGEST_MESSAGE;

/// Where the bytes of every message are.
#[derive(Debug, Clone)]
pub(super) enum Payload {
    Text(Vec<u8>),
    /// A file, or `-`. It is read once, and parsing a command line may take several tries.
    File(PathBuf),
}

impl Payload {
    /// Parses a text with escapes, or `@FILE`.
    pub(super) fn parse(text: &str) -> Result<Payload, String> {
        match text.strip_prefix('@') {
            Some("") => Err("@ needs a file: @FILE, or @- for standard input".to_owned()),
            Some(path) => Ok(Payload::File(path.into())),
            None => unescaped(text).map(Payload::Text),
        }
    }

    /// The file that the bytes are in, if they are in one.
    pub(super) fn file(&self) -> Option<&PathBuf> {
        match self {
            Payload::Text(_) => None,
            Payload::File(path) => Some(path),
        }
    }

    /// Returns the bytes, or what is wrong with them.
    pub(super) fn bytes(&self, framing: FramingFlag) -> Result<Arc<[u8]>, String> {
        let (bytes, name) = match self {
            Payload::Text(bytes) => (bytes.clone(), "--payload".to_owned()),
            Payload::File(path) => (read(path)?, format!("--payload @{}", path.display())),
        };
        match bytes.len() {
            0 => Err(format!("{name} is empty: a message has at least one byte")),
            length if length > LONGEST_MESSAGE => Err(format!("{name} is longer than 1g")),
            _ if framing == FramingFlag::Line && bytes.contains(&b'\n') => {
                Err(format!("{name} cannot hold a line break with --framing line, which adds one"))
            }
            _ => Ok(bytes.into()),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    Stream::open(path)
        .and_then(|file| file.take(LONGEST_MESSAGE as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot read {} for --payload: {error}", path.display()))?;
    Ok(bytes)
}

/// The bytes of a text, with those that its escapes stand for.
fn unescaped(text: &str) -> Result<Vec<u8>, String> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((plain, escape)) = rest.split_once('\\') {
        let (byte, length) = match escape.as_bytes() {
            [b'r', ..] => (b'\r', 1),
            [b'n', ..] => (b'\n', 1),
            [b't', ..] => (b'\t', 1),
            [b'0', ..] => (0, 1),
            // Quotes as well, so that the payload in a report is one that this parses.
            [byte @ (b'\\' | b'"' | b'\''), ..] => (*byte, 1),
            [b'x', digits @ ..] => (byte(digits).ok_or_else(|| unknown(escape))?, 3),
            _ => return Err(unknown(escape)),
        };
        bytes.extend_from_slice(plain.as_bytes());
        bytes.push(byte);
        rest = &escape[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// The byte of two hexadecimal digits.
fn byte(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    Some((16 * digit(0)? + digit(1)?) as u8)
}

fn unknown(escape: &str) -> String {
    let start: String = escape.chars().take(if escape.starts_with('x') { 3 } else { 1 }).collect();
    format!("\\{start} is no escape: expected \\r, \\n, \\t, \\0, \\\\ or \\xHH")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_stand_for_bytes() {
        let text = r"GET / HTTP/1.1\r\nHost: x\r\n\r\n\t\0\\\x00\xfF\'é";
        let bytes = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n\t\0\\\0\xff'\xc3\xa9";
        assert_eq!(unescaped(text).expect("it"), bytes);
    }

    #[test]
    fn what_is_no_escape_is_refused() {
        for (text, start) in
            [(r"\", r"\ is"), (r"\q", r"\q is"), (r"a\xf", r"\xf is"), (r"\xég", r"\xég is")]
        {
            let error = unescaped(text).expect_err("no escape");
            assert!(error.starts_with(start), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn escaped_bytes_are_parsed_as_they_were(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let text = bytes.escape_ascii().to_string();
            prop_assert_eq!(unescaped(&text).expect("only escapes"), bytes);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in r"(\\|x|[0-9a-f]|é|.){0,20}") {
            let _ = unescaped(&text);
        }
    }
}
