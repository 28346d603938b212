//! Flags for the bytes of messages.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use reactor_server::load::Body;
use reactor_server::program::framing::FramingFlag;

use super::payload::Payload;
use super::values;

/// What messages consist of.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Messages")]
pub(super) struct BodyArgs {
    /// Bytes of a message, without framing [default: 24]
    ///
    /// With --stream, which has blocks of this size, the default is 64k.
    ///
    /// With a range such as 64..4k, each message has a size of its own. All sizes of the range are
    /// equally likely, and the same in every run.
    #[arg(short, long, value_name = "SIZE", value_parser = values::message_sizes)]
    #[arg(env = "CLIENT_SIZE")]
    size: Option<RangeInclusive<usize>>,
    /// Send these bytes in every message, or those of @FILE
    ///
    /// TEXT may hold the escapes \r \n \t \0 \\ and \xHH. The bytes of @FILE are sent as they are,
    /// and @- is standard input. As all messages are the same, swapped replies are not detected.
    #[arg(long, value_name = "TEXT", value_parser = Payload::parse, env = "CLIENT_PAYLOAD")]
    payload: Option<Payload>,
    /// The bytes of the payload.
    #[arg(skip)]
    bytes: Option<Arc<[u8]>>,
}

impl BodyArgs {
    /// What does not make sense together, if anything.
    pub(super) fn conflict(&self) -> Option<&'static str> {
        let is_both = self.size.is_some() && self.payload.is_some();
        is_both.then_some("--payload has a size of its own: give no --size")
    }

    /// The file of the payload, if it has one.
    pub(super) fn file(&self) -> Option<&PathBuf> {
        self.payload.as_ref().and_then(Payload::file)
    }

    /// Reads the payload, unless it has been read, or returns what is wrong with it.
    pub(super) fn read(&mut self, framing: FramingFlag) -> Result<(), String> {
        if self.bytes.is_none() {
            self.bytes = self.payload.as_ref().map(|it| it.bytes(framing)).transpose()?;
        }
        Ok(())
    }

    /// Returns whether messages may differ in size.
    pub(super) fn has_sizes(&self) -> bool {
        self.size.as_ref().is_some_and(|sizes| sizes.start() < sizes.end())
    }

    /// What messages consist of; of this size by default.
    pub(super) fn body(&self, size: usize) -> Body {
        match &self.bytes {
            Some(bytes) => Body::Given(Arc::clone(bytes)),
            None => Body::Drawn(self.size.clone().unwrap_or(size..=size)),
        }
    }
}
