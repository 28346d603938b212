//! What a message is: how it is framed, what is replied, and why a connection ended.

pub(crate) mod codec;
pub(crate) mod reason;
pub(crate) mod replies;

pub use codec::Framing;
pub use reason::Reason;
