//! The stages of a run.

/// A stage of a run, of one generator or of the whole load. They follow each other in
/// this order; a run leaves out those it has no use for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Connections are being opened.
    #[default]
    Opening,
    /// All connections are open or have failed. They send nothing before
    /// [`Load::start_sending`](crate::load::Load::start_sending).
    Opened,
    /// Messages are sent and verified, but not counted.
    WarmingUp,
    /// Messages count.
    Counting,
    /// The duration is over: no more messages, only replies that are due.
    TimeUp,
    /// All messages have their replies, and the connections stay open, idle.
    Holding,
    /// Each held connection sends one more message and is closed after the reply.
    LastEcho,
    /// All connections are closed.
    Over,
}
