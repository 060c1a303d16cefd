//! What a daemon does about errors: it decides by predicates, not by texts or numbers.
//!
//! Each of these errors is brought about here, most of them by the lock manager, and those of a node that is
//! not set up by a plan of faults.
//!
//! `cargo run -p dlm-runtime --features engine --example error_decisions -- --engine`

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use dlm_runtime::backend::{Backend, Call, Command, Errno, Faulty, RequestFault, on_calls};
use dlm_runtime::{Error, ErrorKind, Lockspace, LockspaceOptions, Mode};

mod common;
use common::Result;

const LOCKSPACE: &str = "error_decisions";

/// What the daemon does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// Goes on without what it wanted, and tries again later.
    Later,
    /// Lets go of all that it holds, and begins anew.
    Anew,
    /// Creates what is missing, or opens what is there.
    OtherWay,
    /// Tells its operator, who has to set the node up.
    Operator,
    /// Stops at once: what its locks protected may belong to others now.
    Stop,
    /// A mistake in the program.
    Bug,
}

fn decide(error: &Error) -> Decision {
    if error.is_removed() || error.is_closed() {
        Decision::Stop
    } else if error.would_block() || error.is_timed_out() || error.is_in_use() {
        Decision::Later
    } else if error.is_deadlock() || error.is_cancelled() {
        Decision::Anew
    } else if error.is_no_lockspace() || error.is_existing_lockspace() || error.is_no_orphan() {
        Decision::OtherWay
    } else if error.is_no_module() || error.is_not_configured() || error.is_permission_denied() {
        Decision::Operator
    } else {
        match error.kind {
            ErrorKind::Name(_) | ErrorKind::Illegal(_) | ErrorKind::LockGone => Decision::Bug,
            // The text names the call, the reason and the remedy.
            _ => Decision::Operator,
        }
    }
}

fn main() -> Result<()> {
    let backend = common::backend()?;
    let options = LockspaceOptions::new().backend(Arc::clone(&backend));
    expect("open before it exists", options.open(LOCKSPACE), Decision::OtherWay)?;
    expect("a name with a slash", options.open("a/b"), Decision::Bug)?;
    not_set_up(&backend)?;

    let (one, two) = (options.create(LOCKSPACE)?, options.open(LOCKSPACE)?);
    expect("create again", options.clone().exclusive().create(LOCKSPACE), Decision::OtherWay)?;
    locks(&one, &two)?;

    let held = two.lock("disk0", Mode::Ex).wait()?;
    expect("release under a lock", one.release(), Decision::Later)?;
    // Somebody decides that it is to go all the same, and waits until we have closed it.
    let operator = options.open(LOCKSPACE)?;
    let operator = thread::spawn(move || operator.force_release());
    // Who reads is told. Requests alone are not: they would be granted on, beside those of other nodes.
    let lost = two.dispatch_until(None);
    expect("wait for what was removed", lost, Decision::Stop)?;
    expect("use what was removed", two.lock("disk1", Mode::Pr).wait(), Decision::Stop)?;
    operator.join().map_err(|_| "the operator panicked")??;
    if held.mode().is_some() {
        return Err("a lock outlived its lockspace".into());
    }
    println!("done");
    Ok(())
}

/// Errors of a node whose operator has something to do.
fn not_set_up(backend: &Arc<dyn Backend>) -> Result<()> {
    let create = Call::Submit(Command::CreateLockspace);
    for (call, errno, what) in [
        (create, Errno::EPERM, "create without privilege"),
        (create, Errno::ENOTCONN, "create without a cluster"),
        (Call::OpenLockspace, Errno::EACCES, "open without permission"),
    ] {
        let plan = on_calls(move |made| (made == call).then_some(RequestFault::Fail(errno)));
        let faulty = Faulty::new(Arc::clone(backend), plan);
        expect(what, Lockspace::create_on(faulty, LOCKSPACE), Decision::Operator)?;
    }
    Ok(())
}

/// Errors of locks.
fn locks(one: &Lockspace, two: &Lockspace) -> Result<()> {
    let held = one.lock("disk0", Mode::Pr).wait()?;
    let busy = two.lock("disk0", Mode::Ex).no_queue().wait();
    expect("a lock that is taken", busy, Decision::Later)?;
    let late = two.lock("disk0", Mode::Ex).timeout(Duration::from_millis(10)).wait();
    expect("a lock that is not let go", late, Decision::Later)?;
    expect("adopt what nobody left", two.adopt("disk0", Mode::Ex).take(), Decision::OtherWay)?;
    expect("a name that is too long", two.lock([b'x'; 65], Mode::Ex).wait(), Decision::Bug)?;

    // Each would wait for the other: the kernel tells the second.
    let other = two.lock("disk0", Mode::Pr).wait()?;
    held.convert(Mode::Ex).start(|_| {})?;
    expect("a deadlock", other.convert(Mode::Ex).wait(), Decision::Anew)?;
    other.unlock().wait()?;
    // Now the first is granted, which is for somebody to read.
    one.dispatch_until(None)?;
    Ok(held.unlock().wait()?)
}

/// Shows an error and what is done about it.
fn expect<T>(what: &str, outcome: std::result::Result<T, Error>, wanted: Decision) -> Result<()> {
    let Err(error) = outcome else { return Err(format!("{what}: no error").into()) };
    let decision = decide(&error);
    println!("{what}: {decision:?} ({error})");
    if decision == wanted { Ok(()) } else { Err(format!("{what}: not {wanted:?}").into()) }
}
