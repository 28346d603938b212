//! The flags `--framing` and `--reply-prefix` of both programs.

use clap::ValueEnum;

use crate::wire::codec::Framing;

/// The framing of messages, as it is named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FramingFlag {
    /// No framing: a stream of bytes.
    Raw,
    /// A little-endian u32 length in front of each message.
    Len32,
    /// Lines that end with a newline.
    Line,
}

impl FramingFlag {
    /// The framing of this name.
    pub fn framing(self) -> Framing {
        match self {
            FramingFlag::Raw => Framing::Raw,
            FramingFlag::Len32 => Framing::Len32,
            FramingFlag::Line => Framing::line(),
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            FramingFlag::Raw => "raw",
            FramingFlag::Len32 => "len32",
            FramingFlag::Line => "line",
        }
    }

    /// Why replies with this framing cannot have this prefix, or `None` if they can.
    pub fn prefix_conflict(self, prefix: &str) -> Option<&'static str> {
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
