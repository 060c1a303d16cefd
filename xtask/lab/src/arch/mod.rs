//! Other machines than this one: tests are built for them here, and run under emulation.

mod machines;
mod toolchain;

pub use machines::{MACHINES, Machine, named};
pub use toolchain::Toolchain;
