//! What talks to the server, well or badly.

pub(crate) mod blocking;
pub(crate) mod crowd;
pub(crate) mod frames;
pub(crate) mod hogs;
pub(crate) mod hose;
pub(crate) mod keyed_stream;
pub(crate) mod pingers;
pub(crate) mod pool;
pub(crate) mod rogue;
pub(crate) mod sources;
pub(crate) mod talk;
