//! Takes a lock with [`dlm_core`], converts it and unlocks it, without `std` and without a C
//! library: the proof that dlm-core needs an allocator and nothing else. It is the smallest driver
//! of a core, too: one thread that writes what it is given and reads until that has ended.
//!
//! The exit status is 0, or the number of what was not answered as it should be.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

#[path = "../heap.rs"]
mod heap;
#[path = "../memory.rs"]
mod memory;
#[path = "../space.rs"]
mod space;
#[path = "../start.rs"]
mod start;

use core::time::Duration;

use dlm_core::{
    Conversion, Core, Ended, Follow, NewLock, Options, Queueing, Received, Refusal, Rejected,
    Rules, Submission, Time, Unlocking,
};
use dlm_proto::{LockFlags, MAX_RESULT_LEN, Mode, ResourceName, Token};
use dlm_sys::{Accepted, LockspaceDevice};

const LOCKSPACE: &[u8] = b"dlm-core-static";
const RESOURCE: &[u8] = b"disk0";
/// As in the other program.
const PATIENCE: Duration = Duration::from_secs(10);

/// What fails, as exit status.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Step {
    Name = 5,
    Rejected = 6,
    Refused = 7,
    Result = 8,
    Lock = 9,
    Convert = 10,
    Unlock = 11,
    Left = 12,
}

fn run() -> u8 {
    space::within(LOCKSPACE, |device| Driver::new(device).run().map_err(|step| step as u8))
}

/// One thread, for which nothing is kept but the core's own books.
struct Driver<'a> {
    device: &'a LockspaceDevice,
    core: Core<(), ()>,
    out: Submission,
}

impl<'a> Driver<'a> {
    fn new(device: &'a LockspaceDevice) -> Self {
        let core = Core::new(Options {
            abi: device.abi(),
            owner: 1,
            rules: Rules::Checked,
            has_ids: false,
            has_names: false,
        });
        Self { device, core, out: Submission::new() }
    }

    fn run(&mut self) -> Result<(), Step> {
        let name = ResourceName::new(RESOURCE).map_err(|_| Step::Name)?;
        let flags = LockFlags::empty();
        let new = NewLock { name: &name, mode: Mode::Ex, flags, xid: 0, notices: true };
        let token = self
            .core
            .lock(&new, &mut Some(()), &mut (), &mut self.out)
            .map_err(|_| Step::Rejected)?;
        let ended = self.complete(token)?;
        (ended.mode == Some(Mode::Ex)).then_some(()).ok_or(Step::Lock)?;

        let conversion = Conversion {
            mode: Mode::Nl,
            flags,
            write: None,
            persistent: false,
            xid: None,
            notices: None,
        };
        let begun = self.core.convert(token, &conversion, &mut Some(()), &mut self.out);
        begins(begun)?;
        let ended = self.complete(token)?;
        (ended.mode == Some(Mode::Nl)).then_some(()).ok_or(Step::Convert)?;

        let unlock = Unlocking::default();
        let begun = self.core.unlock(token, &unlock, &mut Some(()), &mut self.out);
        begins(begun)?;
        let ended = self.complete(token)?;
        (ended.mode.is_none()).then_some(()).ok_or(Step::Unlock)?;
        self.core.settle(token).ok_or(Step::Left)?;
        (self.core.is_empty() && self.core.expected() == 0).then_some(()).ok_or(Step::Left)
    }

    /// Writes what the core has filled in, and reads until that has ended.
    fn complete(&mut self, token: Token) -> Result<Ended, Step> {
        loop {
            self.write()?;
            match self.core.follow(token, &mut self.out) {
                Follow::Nothing => break,
                Follow::Write => {}
                Follow::Failed { .. } | Follow::Gone(()) => return Err(Step::Refused),
            }
        }
        loop {
            if !self.device.poll(Some(PATIENCE)).map_err(|_| Step::Result)? {
                return Err(Step::Result);
            }
            let mut buffer = [0; MAX_RESULT_LEN];
            let len = self.device.read_result(&mut buffer).map_err(|_| Step::Result)?;
            let Some(bytes) = len.and_then(|len| buffer.get(..len)) else { continue };
            match self.core.receive(bytes) {
                Received::Ended(report) if report.token == token && report.user.is_some() => {
                    return Ok(report.ended);
                }
                _ => return Err(Step::Result),
            }
        }
    }

    fn write(&mut self) -> Result<(), Step> {
        let ticket = self.out.ticket();
        match self.device.submit(self.out.command(), self.out.bytes()) {
            Ok(accepted) => {
                let id = match accepted {
                    Accepted::Lock(id) => Some(id),
                    Accepted::Done => None,
                };
                let next = self.core.accepted(&ticket, id);
                // With one thread nothing is left to whoever writes.
                if next.follow || next.freed.is_some() { Err(Step::Rejected) } else { Ok(()) }
            }
            Err(error) => {
                let refusal =
                    error.errno().map_or(Refusal::Never, |errno| Refusal::from_errno(errno.raw()));
                self.core.refused(&ticket, refusal, Time::ZERO);
                Err(Step::Refused)
            }
        }
    }
}

fn begins(begun: Result<Queueing, Rejected>) -> Result<(), Step> {
    match begun {
        Ok(Queueing::Write) => Ok(()),
        Ok(Queueing::Queued { .. }) | Err(_) => Err(Step::Rejected),
    }
}
