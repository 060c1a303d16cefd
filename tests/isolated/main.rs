//! Tests that cannot share a process, or a machine, with others: they fork, set limits, count what
//! the process does, make the kernel warn, or lock what all lockspaces need. Each module runs in a
//! machine of its own (`cargo xtask test`); by hand, run one module at a time.

mod creation;
mod examples;
mod file_system;
mod fork;
mod hazards_lockspace;
mod no_descriptors;
mod no_threads;
mod removal;
mod signals;
mod stress;
mod syscalls;
mod udev_permissions;
mod warns;
