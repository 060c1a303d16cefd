//! Coming from C libdlm: what became of each function and of each complaint. This module holds no
//! code. The pages below it are on other things:
//!
//! * [`daemon`]: who creates a lockspace and who releases it, how a lock is lost, which clock.
//! * [`cluster`]: corosync, dlm_controld and fencing, and what happens when a node is lost.
//! * [`locks`], [`hazards`] and [`shown`]: what the kernel does, what harms it, and the tests.
//! * `testing` (feature `engine`): how to test a program without a cluster, the same log for the same seed.
//! * [`compared`]: fd-lock, etcd, ZooKeeper and Redis beside this, and what this library weighs.
//! * [`speed`]: instructions of an operation beside the C library, and where they go.
//! * [`architecture`]: how this library is built, and where a change belongs.
//!
//! # The functions of the manual pages
//!
//! | C | here |
//! |---|---|
//! | `dlm_create_lockspace`, `dlm_new_lockspace` | [`Lockspace::create`], [`LockspaceOptions::create`]; `DLM_LSFL_NEWEXCL` is [`exclusive`](LockspaceOptions::exclusive) |
//! | `dlm_open_lockspace` | [`Lockspace::open`]; open or else create: [`LockspaceOptions::open_or_create`] |
//! | `dlm_close_lockspace` | [`Lockspace::close`], or drop it |
//! | `dlm_release_lockspace` | [`Lockspace::release`], [`Lockspace::force_release`]; tells when it fails, and has a deadline |
//! | `dlm_ls_lock` | [`Lockspace::lock`] and [`LockRequest::start`]; with LKF_CONVERT [`Lock::convert`] and [`ConvertRequest::start`] |
//! | `dlm_ls_lock_wait` | [`LockRequest::wait`], [`ConvertRequest::wait`] |
//! | `dlm_ls_lockx` | the same; the transaction id is [`transaction`](LockRequest::transaction), the timeout [`timeout`](LockRequest::timeout), LKF_ORPHAN is [`Lockspace::adopt`] |
//! | `dlm_ls_unlock` | [`Lock::unlock`] and [`UnlockRequest::start`]; with LKF_CANCEL [`Lock::cancel`]; or drop the lock |
//! | `dlm_ls_unlock_wait` | [`Lock::unlock`] and [`UnlockRequest::wait`] |
//! | `dlm_ls_deadlock_cancel` | [`Lock::cancel_as_deadlock`] |
//! | `dlm_ls_purge` | [`Lockspace::purge`] |
//! | `dlm_ls_get_fd` | `AsFd` of [`Lockspace`]: for poll, not for reading |
//! | `dlm_dispatch` | [`Lockspace::dispatch`] |
//! | `dlm_ls_pthread_init` | [`Lockspace::start_delivery`] |
//! | `dlm_pthread_cleanup` | [`DeliveryThread::stop`], or drop it; no callback is interrupted |
//! | `dlm_lock`, `dlm_lock_wait`, `dlm_unlock`, `dlm_unlock_wait`, `dlm_get_fd`, `dlm_pthread_init` | the same on [`Lockspace::open`] of [`DEFAULT_LOCKSPACE`](crate::simple::DEFAULT_LOCKSPACE) |
//! | `lock_resource`, `unlock_resource` | [`simple::lock_resource`](crate::simple::lock_resource), [`simple::unlock_resource`](crate::simple::unlock_resource) |
//! | `dlm_kernel_version`, `dlm_library_version` | [`kernel_version`](crate::kernel_version), [`VERSION`](crate::VERSION) |
//!
//! # Flags
//!
//! | C | here |
//! |---|---|
//! | LKF_NOQUEUE | [`no_queue`](LockRequest::no_queue) |
//! | LKF_VALBLK | [`with_lvb`](LockRequest::with_lvb), [`read_lvb`](ConvertRequest::read_lvb), `write_lvb` |
//! | LKF_IVVALBLK | [`invalidate_lvb`](UnlockRequest::invalidate_lvb) |
//! | LKF_PERSISTENT | [`Lock::persist`], and [`Lock::leak`] to leave it behind |
//! | LKF_CANCEL, LKF_CONVERT, LKF_ORPHAN, LKF_FORCEUNLOCK | calls of their own, never flags |
//! | LKF_TIMEOUT | [`timeout`](LockRequest::timeout): kernels since 6.2 ignore the flag |
//! | LKF_WAIT | `wait` |
//! | LKF_QUECVT | [`ConvertRequest::queued`] |
//! | LKF_CONVDEADLK, LKF_NODLCKWT | [`ConvertRequest::flags`] |
//! | LKF_EXPEDITE, LKF_ALTPR, LKF_ALTCW | [`LockRequest::flags`] |
//! | LKF_HEADQUE, LKF_NOORDER, LKF_NOQUEUEBAST | either |
//! | LKF_NODLCKBLK | refused: kernels ignore it |
//!
//! # What users of C libdlm complain about
//!
//! The tests named here are those of the package `dlm-tests`, which run on real kernels.
//!
//! | complaint | answer | test |
//! |---|---|---|
//! | timeouts are gone from the kernel and the library | deadlines that are kept here, for every kind of call | `runtime::deadline` |
//! | a program hangs while quorum or fencing is awaited, and nothing tells why | [`Lockspace::status`]; deadlines on everything but the kernel's own `write` | `runtime::orphan::the_status_tells_whether_locks_are_granted_and_by_whom` |
//! | ten times sleep(1) for the device node | inotify, with a deadline | `dlm-sys`: `a_node_that_does_not_come_ends_the_wait` |
//! | long names are cut in sysfs | devices are matched by minor number; names up to 64 bytes | `kernel::lockspace` |
//! | a failed read makes the receiving thread spin at 100 % | it ends, with the error | `runtime::end` |
//! | `dlm_dispatch` switches O_NONBLOCK of a shared file | the device is non-blocking from its opening on | `isolated::syscalls` |
//! | the example in libdlm(3) is a busy loop | poll sleeps until there is something to do | the example `poll_dispatch` |
//! | the blocking AST does not tell the mode | [`Blocking::mode`](crate::Blocking) | `runtime::delivery::a_blocking_callback_is_told_the_mode_and_may_give_way_itself` |
//! | NULL and errno 0 when the module is missing | errors name the call, the cause and the remedy | `dlm-sys`: `an_error_names_the_call_the_cause_and_the_remedy` |
//! | orphans block a restart, and are undocumented | [`Lockspace::adopt`], [`Lockspace::adopt_any`], [`Lockspace::purge`] | `runtime::orphan` |
//! | no async | futures and streams, with or without tokio | `runtime::future` |
//! | fork | inherited handles refuse, and send nothing | `isolated::fork` |
//! | `dlm_ls_unlock_wait` after an asynchronous lock hangs | who is told is decided per operation, not per lock | `runtime::delivery` |
//! | an unlock writes stack bytes into the value block | it writes what is asked for, or what is there | `runtime::blocking::the_value_block_is_written_kept_and_read` |
//! | release answers 0 although it failed | [`Lockspace::release`] tells | `runtime::end::a_release_that_fails_says_so_and_keeps_the_reference` |
//! | cancelling the thread inside a callback | callbacks are never interrupted | `runtime::delivery::stopping_waits_for_the_callback_that_runs_but_not_for_ever` |
//!
//! [`Lockspace`]: crate::Lockspace
//! [`Lockspace::create`]: crate::Lockspace::create
//! [`Lockspace::open`]: crate::Lockspace::open
//! [`Lockspace::close`]: crate::Lockspace::close
//! [`Lockspace::release`]: crate::Lockspace::release
//! [`Lockspace::force_release`]: crate::Lockspace::force_release
//! [`Lockspace::lock`]: crate::Lockspace::lock
//! [`Lockspace::adopt`]: crate::Lockspace::adopt
//! [`Lockspace::adopt_any`]: crate::Lockspace::adopt_any
//! [`Lockspace::purge`]: crate::Lockspace::purge
//! [`Lockspace::status`]: crate::Lockspace::status
//! [`Lockspace::dispatch`]: crate::Lockspace::dispatch
//! [`Lockspace::start_delivery`]: crate::Lockspace::start_delivery
//! [`LockspaceOptions::create`]: crate::LockspaceOptions::create
//! [`LockspaceOptions::open_or_create`]: crate::LockspaceOptions::open_or_create
//! [`LockRequest::start`]: crate::LockRequest::start
//! [`LockRequest::wait`]: crate::LockRequest::wait
//! [`LockRequest::flags`]: crate::LockRequest::flags
//! [`ConvertRequest::start`]: crate::ConvertRequest::start
//! [`ConvertRequest::wait`]: crate::ConvertRequest::wait
//! [`ConvertRequest::flags`]: crate::ConvertRequest::flags
//! [`ConvertRequest::queued`]: crate::ConvertRequest::queued
//! [`UnlockRequest::start`]: crate::UnlockRequest::start
//! [`UnlockRequest::wait`]: crate::UnlockRequest::wait
//! [`DeliveryThread::stop`]: crate::DeliveryThread::stop
//! [`Lock::convert`]: crate::Lock::convert
//! [`Lock::unlock`]: crate::Lock::unlock
//! [`Lock::cancel`]: crate::Lock::cancel
//! [`Lock::cancel_as_deadlock`]: crate::Lock::cancel_as_deadlock
//! [`Lock::persist`]: crate::Lock::persist
//! [`Lock::leak`]: crate::Lock::leak

#[cfg(doc)]
use crate::{ConvertRequest, LockRequest, LockspaceOptions, UnlockRequest};

#[doc = include_str!("../docs/daemon.md")]
pub mod daemon {}

#[doc = include_str!("../docs/cluster.md")]
pub mod cluster {}

#[doc = include_str!("../docs/locks.md")]
pub mod locks {}

#[doc = include_str!("../docs/hazards.md")]
pub mod hazards {}

#[doc = include_str!("../docs/shown.md")]
pub mod shown {}

#[cfg(all(feature = "engine", not(dlm_model)))]
#[doc = include_str!("../docs/testing.md")]
pub mod testing {}

#[doc = include_str!("../docs/compared.md")]
pub mod compared {}

#[doc = include_str!("../docs/speed.md")]
pub mod speed {}

#[doc = include_str!("../docs/architecture.md")]
pub mod architecture {}
