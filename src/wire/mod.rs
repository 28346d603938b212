//! What a message is: how it is framed, what handles it, and what is replied.

pub(crate) mod codec;
pub(crate) mod handler;
pub(crate) mod reason;
pub(crate) mod replies;

pub use codec::Framing;
pub use handler::{Echo, Handler, Reply};
pub use reason::Reason;
