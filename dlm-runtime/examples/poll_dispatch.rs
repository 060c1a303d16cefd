//! The second example of libdlm(3): poll the lockspace's descriptor and dispatch, in one thread.
//!
//! Other than in the manual page the poll has no timeout of zero: it sleeps until there is
//! something to do.

use std::error::Error;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dlm_runtime::{Completion, Lockspace, Mode};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// What the completion AST sets.
#[derive(Default)]
struct AstCalled(AtomicBool);

impl AstCalled {
    fn callback(self: &Arc<Self>) -> impl FnOnce(Completion) + Send + 'static {
        let this = Arc::clone(self);
        move |completion| {
            println!("completion AST: {}", completion.status);
            this.0.store(true, Ordering::Relaxed);
        }
    }
}

fn poll_for_ast(lockspace: &Lockspace, called: &AstCalled) -> Result<(), Box<dyn Error>> {
    let mut turns = 0;
    while !called.0.swap(false, Ordering::Relaxed) {
        poll(&mut [PollFd::new(lockspace.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
        lockspace.dispatch()?;
        turns += 1;
    }
    println!("dispatched {turns} time(s)");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let lockspace = Lockspace::create("pollLS")?;
    let called = Arc::new(AstCalled::default());

    let lock = lockspace.lock("resource", Mode::Pr).start(called.callback())?;
    poll_for_ast(&lockspace, &called)?;
    lock.convert(Mode::Ex).start(called.callback())?;
    poll_for_ast(&lockspace, &called)?;
    println!("holds {:?}", lock.mode());
    lock.unlock().start(called.callback())?;
    poll_for_ast(&lockspace, &called)?;

    lockspace.release()?;
    println!("done");
    Ok(())
}
