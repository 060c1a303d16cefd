//! The place where a test of dlm-runtime runs: on the kernel, or on an engine in this process.

use std::sync::Arc;

use dlm_proto::LockspaceName;
use dlm_runtime::backend::{Backend, BackendDevice, Kernel as KernelBackend};
use dlm_runtime::engine::{ClusterOptions, FaultGuard, Node, Profile, ResourceDump};
use dlm_runtime::inspect::Snapshot;
use dlm_runtime::{Error, Lockspace, LockspaceOptions};

use crate::kernel::Kernel;
use crate::lockspace::{Stopped, stop};
use crate::wait::PATIENCE;

/// A lock manager to run a test on.
#[derive(Debug, Clone)]
pub struct Place {
    /// `None`: the kernel.
    engine: Option<(Profile, Node)>,
}

/// A lockspace that is stopped for as long as this lives.
#[derive(Debug)]
pub enum StopGuard {
    /// In the kernel.
    Kernel(Stopped),
    /// In an engine.
    Engine(FaultGuard),
}

impl Place {
    /// The running kernel.
    ///
    /// # Panics
    ///
    /// If it has no DLM, or this process is not root: the test must not seem to have passed.
    #[must_use]
    #[track_caller]
    pub fn kernel() -> Self {
        drop(crate::lockspace::control_device());
        Self { engine: None }
    }

    /// An engine of one node, for this test alone, that behaves like such a kernel.
    #[must_use]
    pub fn engine(profile: Profile) -> Self {
        let node = ClusterOptions::new().profile(profile).start().node(1);
        Self { engine: Some((profile, node)) }
    }

    /// Whether it is the kernel.
    #[must_use]
    pub fn is_kernel(&self) -> bool {
        self.engine.is_none()
    }

    /// Options for a lockspace here.
    #[must_use]
    pub fn options(&self) -> LockspaceOptions {
        match &self.engine {
            Some((_, node)) => LockspaceOptions::new().backend(node.clone()),
            None => LockspaceOptions::new(),
        }
    }

    /// The lock manager, without the library.
    #[must_use]
    pub fn backend(&self) -> Arc<dyn Backend> {
        match &self.engine {
            Some((_, node)) => Arc::new(node.clone()),
            None => Arc::new(KernelBackend),
        }
    }

    /// Creates a lockspace.
    ///
    /// # Errors
    ///
    /// As [`LockspaceOptions::create`].
    pub fn create(&self, name: impl AsRef<[u8]>) -> Result<Lockspace, Error> {
        self.options().create(name)
    }

    /// Opens a lockspace.
    ///
    /// # Errors
    ///
    /// As [`LockspaceOptions::open`].
    pub fn open(&self, name: impl AsRef<[u8]>) -> Result<Lockspace, Error> {
        self.options().open(name)
    }

    /// Gives a reference of a lockspace back.
    ///
    /// # Errors
    ///
    /// As [`LockspaceOptions::remove`].
    pub fn remove(&self, name: impl AsRef<[u8]>) -> Result<(), Error> {
        self.options().remove(name)
    }

    /// Creates a lockspace and opens it once more: two owners that compete for locks.
    ///
    /// # Panics
    ///
    /// If it is refused.
    #[must_use]
    #[track_caller]
    pub fn open_twice(&self, name: &str) -> (Lockspace, Lockspace) {
        match (self.create(name), self.open(name)) {
            (Ok(first), Ok(second)) => (first, second),
            (Err(error), _) | (_, Err(error)) => panic!("{name}: {error}"),
        }
    }

    /// Opens a lockspace as a program does that is not of this library.
    ///
    /// # Panics
    ///
    /// If it is refused.
    #[must_use]
    #[track_caller]
    pub fn open_foreign(&self, name: &LockspaceName) -> Box<dyn BackendDevice> {
        match self.backend().open(name, None, PATIENCE) {
            Ok(device) => device,
            Err(error) => panic!("{name}: {error}"),
        }
    }

    /// Stops a lockspace, as the cluster's daemon does when the membership changes.
    ///
    /// # Panics
    ///
    /// If that fails.
    #[must_use]
    #[track_caller]
    pub fn stop(&self, name: &LockspaceName) -> StopGuard {
        match &self.engine {
            Some((_, node)) => StopGuard::Engine(node.stop(name).expect("stop the lockspace")),
            None => StopGuard::Kernel(stop(name)),
        }
    }

    /// The lock manager's own list of the locks of a lockspace, a line each.
    ///
    /// # Panics
    ///
    /// If there is no such lockspace.
    #[must_use]
    #[track_caller]
    pub fn locks_of(&self, name: &LockspaceName) -> Vec<String> {
        match &self.engine {
            Some((_, node)) => {
                let queues = node.queues(name).into_iter().flat_map(|resource| {
                    let ResourceDump { name, granted, converting, waiting, .. } = resource;
                    let queues = [granted, converting, waiting].concat();
                    queues.into_iter().map(move |lock| format!("{name} {lock:?}"))
                });
                queues.collect()
            }
            None => {
                let list = format!("/sys/kernel/debug/dlm/{name}_locks");
                let list = std::fs::read_to_string(list).expect("debugfs lists its locks");
                list.lines().skip(1).map(ToOwned::to_owned).collect()
            }
        }
    }

    /// What can be seen of it.
    ///
    /// # Panics
    ///
    /// If it cannot be looked at.
    #[must_use]
    #[track_caller]
    pub fn snapshot(&self) -> Snapshot {
        match &self.engine {
            Some((_, node)) => node.snapshot(),
            None => Snapshot::of_kernel().expect("debugfs shows the locks"),
        }
    }

    /// The value that belongs to this kernel, or to the one that the engine behaves like.
    #[must_use]
    pub fn pick<T>(&self, v6_1: T, v6_12: T) -> T {
        match &self.engine {
            Some((Profile::Linux6_1, _)) => v6_1,
            Some(_) => v6_12,
            None => Kernel::pick(v6_1, v6_12),
        }
    }
}

/// Makes tests of functions that take a [`Place`]: of each function one on the kernel, which needs
/// a virtual machine, and one on an engine of each kind, which runs anywhere.
#[macro_export]
macro_rules! everywhere {
    ($($test:ident),+ $(,)?) => {
        mod on_kernel {
            $(
                #[test]
                #[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
                fn $test() {
                    super::$test(&$crate::Place::kernel());
                }
            )+
        }
        mod on_engine_6_1 {
            $(
                #[test]
                fn $test() {
                    super::$test(&$crate::Place::engine($crate::Profile::Linux6_1));
                }
            )+
        }
        mod on_engine_6_12 {
            $(
                #[test]
                fn $test() {
                    super::$test(&$crate::Place::engine($crate::Profile::Linux6_12));
                }
            )+
        }
    };
}
