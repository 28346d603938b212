//! How text looks on a terminal: wrapped between words, and with a little colour.

use clap::builder::styling::{AnsiColor, Style};

/// The columns that every terminal has.
const WIDTH: usize = 80;

/// Returns text as it looks on a terminal. What continues a line stands under its text. With
/// styles, headings and the names in front of lines stand out.
pub(crate) fn dressed(text: &str, has_styles: bool) -> String {
    text.lines().map(|line| dressed_line(line, has_styles) + "\n").collect()
}

fn dressed_line(line: &str, has_styles: bool) -> String {
    // A name has two spaces behind it. A heading is nothing but a name.
    let name = &line[..line.find("  ").unwrap_or(line.len())];
    let wrapped = wrapped(line, column_of_text(line, name));
    let style = style_of(name);
    if !has_styles || style.is_plain() {
        return wrapped;
    }
    let (styled, rest) = match name.len() == line.len() {
        true => (&wrapped[..], ""),
        false => wrapped.split_at(name.len()),
    };
    format!("{style}{styled}{style:#}{rest}")
}

fn style_of(name: &str) -> Style {
    let bold = Style::new().bold();
    match name {
        "" => Style::new(),
        "error" => bold.fg_color(Some(AnsiColor::Red.into())),
        "note" => bold.fg_color(Some(AnsiColor::Yellow.into())),
        _ => bold,
    }
}

/// The column in which the text behind a name begins.
fn column_of_text(line: &str, name: &str) -> usize {
    let rest = &line[name.len()..];
    let gap = rest.len() - rest.trim_start().len();
    if rest.is_empty() { 2 } else { name.chars().count() + gap }
}

/// Breaks a line between words, so that each part fits. All parts but the first have an indent.
fn wrapped(line: &str, indent: usize) -> String {
    let (mut wrapped, mut rest) = (String::new(), line.to_owned());
    while let Some(at) = place_to_break(&rest, indent) {
        wrapped += &rest[..at];
        wrapped.push('\n');
        rest.replace_range(..=at, &" ".repeat(indent));
    }
    wrapped + &rest
}

/// The last space between words within the width, or the first beyond it, of a line that is too
/// long.
fn place_to_break(line: &str, indent: usize) -> Option<usize> {
    let mut place = None;
    for (column, (at, character)) in line.char_indices().enumerate() {
        if column > indent && character == ' ' && (column <= WIDTH || place.is_none()) {
            place = Some(at);
        }
    }
    place.filter(|_| line.chars().count() > WIDTH)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_line_continues_under_its_text() {
        let line = format!("note      {}99,999 us", "word ".repeat(14));
        let expected =
            format!("note      {}\n          99,999 us\n", "word ".repeat(14).trim_end());
        assert_eq!(dressed(&line, false), expected);
        let heading = format!("{}verify full", "word ".repeat(15));
        assert!(dressed(&heading, false).ends_with(" word\n  verify full\n"), "{heading}");
    }

    #[test]
    fn names_and_headings_stand_out_if_styles_are_wanted() {
        let text = "3 connections\nopened    3\n          p50\nerror     1 x it failed\n";
        let styled = dressed(text, true);
        let lines: Vec<_> = styled.lines().collect();
        assert_eq!(lines[0], "\x1b[1m3 connections\x1b[0m");
        assert_eq!(lines[1..3], ["\x1b[1mopened\x1b[0m    3", "          p50"]);
        assert_eq!(lines[3], "\x1b[1m\x1b[31merror\x1b[0m     1 x it failed");
        assert_eq!(dressed(text, false), text);
    }

    proptest! {
        #[test]
        fn wrapping_loses_no_word_and_leaves_no_line_that_could_be_shorter(
            name in "[a-z]{0,8}", words in prop::collection::vec("[a-zé,0-9]{1,30}", 0..20),
            styles: bool,
        ) {
            let line = format!("{name:<9} {}", words.join(" "));
            let text = dressed(&line, false);
            let as_words = |text: &str| -> Vec<String> {
                text.split_whitespace().map(str::to_owned).collect()
            };
            prop_assert_eq!(as_words(&text), as_words(&line));
            prop_assert!(text.lines().all(|it| it.chars().count() <= WIDTH), "{}", text);
            prop_assert!(dressed(&line, styles).len() >= text.len());
        }
    }
}
