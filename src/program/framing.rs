//! `--framing` and `--reply-prefix`, which both programs have.

use clap::ValueEnum;

use crate::wire::codec::Framing;

/// How messages are told apart, by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FramingFlag {
    /// Not at all.
    Raw,
    /// By a little-endian u32 length in front.
    Len32,
    /// By lines.
    Line,
}

impl FramingFlag {
    /// The framing it stands for.
    pub fn framing(self) -> Framing {
        match self {
            FramingFlag::Raw => Framing::Raw,
            FramingFlag::Len32 => Framing::Len32,
            FramingFlag::Line => Framing::line(),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            FramingFlag::Raw => "raw",
            FramingFlag::Len32 => "len32",
            FramingFlag::Line => "line",
        }
    }

    /// What is wrong with replies that begin like this, if something is.
    pub fn problem_with_prefix(self, prefix: &str) -> Option<&'static str> {
        match self {
            FramingFlag::Raw if !prefix.is_empty() => {
                Some("--reply-prefix goes in front of messages: add --framing len32 or line")
            }
            FramingFlag::Line if prefix.contains('\n') => {
                Some("--reply-prefix cannot hold a line break with --framing line")
            }
            _ => None,
        }
    }
}
