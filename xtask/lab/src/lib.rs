//! Machines with a real kernel and its DLM: one, or a cluster with corosync, dlm_controld and fencing.
//!
//! ```no_run
//! use dlm_lab::vm::{Command, Vm, VmOptions};
//!
//! let vm = Vm::start(&VmOptions { kernel: "6.12".into(), ..VmOptions::default() })?;
//! let output = vm.capture(&Command::new("uname").args(["-r"]))?;
//! assert!(output.exit.success());
//! # anyhow::Ok(())
//! ```
//!
//! * [`vm`]: [`Vm`](vm::Vm) is a running machine, from a snapshot in half a second. Files and programs
//!   (with their libraries) are put into it, [`Command`](vm::Command)s run in it, and the kernel's log
//!   is read. [`KERNELS`](vm::kernels::KERNELS) has a row for each kernel.
//! * [`cluster`]: a [`Cluster`](cluster::Cluster) is a few of them on a network that never leaves this
//!   process. Nodes are killed, frozen and cut off; a [`Peer`](cluster::Peer) is a program on a node
//!   that is told line by line what to do. It knows `vm`, which does not know it.
//! * [`arch`]: other kinds of machines, whose programs are built here and run under emulation.
//! * [`cargo`]: programs for the machines.
//!
//! What is missing on this machine (QEMU, kernels, packages) is installed and fetched once, into
//! `target/vm` of the workspace ([`Store`](vm::store::Store)).

pub mod arch;
pub mod cargo;
pub mod cluster;
pub mod vm;
