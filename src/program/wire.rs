//! `--framing` and `--reply-prefix`, which both programs have.

use clap::ValueEnum;

use crate::codec::Framing;

/// How messages are told apart, by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Wire {
    /// Not at all.
    Raw,
    /// By a little-endian u32 length in front.
    Len32,
    /// By lines.
    Line,
}

impl Wire {
    /// The framing it stands for.
    pub fn framing(self) -> Framing {
        match self {
            Wire::Raw => Framing::Raw,
            Wire::Len32 => Framing::Len32,
            Wire::Line => Framing::line(),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Wire::Raw => "raw",
            Wire::Len32 => "len32",
            Wire::Line => "line",
        }
    }

    /// What is wrong with replies that begin like this, if something is.
    pub fn problem_with_prefix(self, prefix: &str) -> Option<&'static str> {
        match self {
            Wire::Raw if !prefix.is_empty() => {
                Some("--reply-prefix goes in front of messages: add --framing len32 or line")
            }
            Wire::Line if prefix.contains('\n') => {
                Some("--reply-prefix cannot hold a line break with --framing line")
            }
            _ => None,
        }
    }
}
