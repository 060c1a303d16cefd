//! The part of the guest agent that the host needs as well: the request protocol.
//!
//! The agent itself is the binary of this package.

pub mod wire;
