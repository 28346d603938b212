//! What a message is: how it is framed, what is replied, who a proxy speaks for, and why a connection ended.

pub(crate) mod codec;
pub(crate) mod proxy_header;
pub(crate) mod reason;
pub(crate) mod replies;

pub use codec::Framing;
pub use proxy_header::ProxyProtocol;
pub use reason::Reason;
