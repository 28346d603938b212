//! Text of others, made fit for a terminal.

/// Escapes the characters of a line that act instead of showing: control characters, and
/// those that break lines or change the direction of text.
///
/// Text of a peer, a file or a file name may hold them. They would move the cursor, forge
/// lines or reorder what stands beside them. The escapes are those of JSON, so that they are
/// also right in a line of JSON.
pub fn printable(line: &str) -> String {
    let mut printable = String::with_capacity(line.len());
    for character in line.chars() {
        match acts(character) {
            true => printable.push_str(&format!("\\u{:04x}", u32::from(character))),
            false => printable.push(character),
        }
    }
    printable
}

fn acts(character: char) -> bool {
    let is_format = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    is_format || character.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_escaped_and_what_shows_is_not() {
        assert_eq!(printable("\x1b[31mred\n"), "\\u001b[31mred\\u000a");
        assert_eq!(printable("\u{9b}2J \u{202e}txt.exe\u{7f}"), "\\u009b2J \\u202etxt.exe\\u007f");
        assert_eq!(printable("a\u{61c}b\u{200f}"), "a\\u061cb\\u200f");
        for text in ["", "p99>5ms", "C:\\temp \"a\"", "größe µs 日本 👩‍🔬 שלום"] {
            assert_eq!(printable(text), text);
        }
    }
}
