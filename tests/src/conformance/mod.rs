//! The likeness of engine and kernel: random scripts on both, step by step.
//!
//! A script is a list of scenario steps, made from a seed by [`fn@generate`]. A [`Differential`] does each
//! step on the engine and on the kernel and compares what `write` and `read` return, every byte of
//! the results, what `poll` says of each session, and at the end the queues of all resources. What
//! could harm the kernel is left out at the moment it is due, judged by the engine's state. A
//! script that comes out differently is shrunk to its shortest form, and shown as a scenario that
//! wants what the kernel did.

mod compare;
mod coverage;
mod differential;
mod generate;
mod hazard;
mod leaked;
mod patterns;
mod requests;
mod shrink;
mod spaces;
#[cfg(test)]
mod strict;
mod world;

pub use coverage::Coverage;
pub use differential::{Difference, Differential};
pub use generate::generate;
pub use shrink::shrink;
