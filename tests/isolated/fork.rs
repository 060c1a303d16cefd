//! A forked child with the handles that it inherits. In a program of its own: for a
//! moment the child has all open devices of its parent.

use dlm_runtime::{ErrorKind, Mode};
use dlm_tests::Place;
use nix::unistd::ForkResult;

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_forked_child_is_refused_and_its_parent_keeps_its_locks() {
    let (ls, other) = Place::kernel().open_twice("end-fork");
    let lock = ls.lock("r", Mode::Ex).wait().unwrap();
    // SAFETY: the child calls nothing but this library, which allocates no memory on the paths
    // that refuse a forked handle, and `_exit`. No other thread of this process holds the locks of
    // these lockspaces' tables, which only this test uses.
    let forked = unsafe { nix::unistd::fork() }.unwrap();
    if matches!(forked, ForkResult::Child) {
        let convert = lock.convert(Mode::Nl).wait().map(|_| ());
        let request = ls.lock("s", Mode::Ex).wait().map(|_| ());
        let dispatch = ls.dispatch().map(|_| ());
        let refused = [convert, request, dispatch]
            .into_iter()
            .all(|answer| answer.is_err_and(|error| matches!(error.kind, ErrorKind::Forked)));
        drop(lock);
        let closed = ls.close().is_ok();
        // SAFETY: `_exit` ends the process and has no precondition.
        unsafe { libc::_exit(i32::from(!(refused && closed))) };
    }
    let ForkResult::Parent { child } = forked else { unreachable!() };
    let status = nix::sys::wait::waitpid(child, None).unwrap();
    assert_eq!(status, nix::sys::wait::WaitStatus::Exited(child, 0));
    assert_eq!(lock.mode(), Some(Mode::Ex));
    assert!(other.lock("r", Mode::Ex).no_queue().wait().unwrap_err().would_block());
    lock.unlock().wait().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}
