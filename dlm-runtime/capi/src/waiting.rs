//! Calls that wait for their operation.

use std::ffi::c_int;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dlm_proto::{LockFlags, Token};
use libc::{EBUSY, ENODEV, ETIMEDOUT};

use crate::dispatch::{Pumped, TURN};
use crate::errno::Errno;
use crate::lksb::CallerLksb;
use crate::operate::{Begun, LockCall, Unlocking};
use crate::session::Session;
use crate::sync::{has_passed, lock, sleep};
use crate::wait::{Seat, Waiter};

/// How long a cancel may take to end an operation. Only a lost message between nodes takes longer.
const GRACE: Duration = Duration::from_secs(10);

impl Session {
    /// A lock call that waits. Returns the status.
    pub(crate) fn lock_wait(&self, call: &LockCall<'_>) -> Result<c_int, Errno> {
        let waiter = Waiter::take_spare();
        let status = match self.begin_lock(call, Some(&waiter)) {
            Ok(Some(begun)) => self.finish(&begun, &waiter, call.deadline),
            Ok(None) => Ok(0),
            Err(errno) => Err(errno),
        };
        waiter.put_back();
        status
    }

    /// An unlock or cancel that waits. Returns the status.
    pub(crate) fn unlock_wait(
        &self,
        id: u32,
        flags: LockFlags,
        lksb: CallerLksb,
    ) -> Result<c_int, Errno> {
        let waiter = Waiter::take_spare();
        let status = match self.begin_unlock(id, flags, lksb, None, Some(&waiter)) {
            Ok(Unlocking::Begun(begun)) => self.finish(&begun, &waiter, None),
            Ok(Unlocking::Nothing) => {
                lksb.set_status(0);
                Ok(0)
            }
            Ok(Unlocking::Ending) => Err(Errno(EBUSY)),
            Err(errno) => Err(errno),
        };
        waiter.put_back();
        status
    }

    fn finish(
        &self,
        begun: &Begun,
        waiter: &Arc<Waiter>,
        deadline: Option<Instant>,
    ) -> Result<c_int, Errno> {
        let leaves_asts = self.leaves_asts();
        let mut ended = self.wait(begun, waiter, deadline, leaves_asts);
        if ended == Ok(None) {
            self.time_out(begun.token, begun.serial);
            ended = self.wait(begun, waiter, Instant::now().checked_add(GRACE), leaves_asts);
        }
        match ended {
            Ok(Some(status)) => Ok(status),
            Ok(None) => {
                self.abandon(begun.token, waiter);
                Err(Errno(ETIMEDOUT))
            }
            Err(errno) => {
                self.abandon(begun.token, waiter);
                Err(errno)
            }
        }
    }

    /// Reads the results that are there, if an operation of this lock is in flight as far as is
    /// known here: the kernel may know better, and goes by that.
    pub(crate) fn catch_up(&self, id: u32, leaves_asts: bool) -> Result<(), Errno> {
        for _ in 0..TURN {
            let mut table = lock(&self.table);
            let Some(token) = table.named(id) else { break };
            if table.get(token).is_none_or(|record| record.op.is_none()) {
                break;
            }
            drop(table);
            match self.pump()? {
                Pumped::Due(due) if leaves_asts => self.due.push(due),
                Pumped::Due(due) => self.run(&due),
                Pumped::Handled => {}
                Pumped::Empty => break,
            }
        }
        Ok(())
    }

    /// Waits for a request that ends by itself, and soon: when the node has answered that has the
    /// resource.
    pub(crate) fn await_end(&self, id: u32, leaves_asts: bool) -> Result<(), Errno> {
        self.catch_up(id, leaves_asts)?;
        let waiter = Waiter::take_spare();
        let begun = {
            let mut table = lock(&self.table);
            let Some(token) = table.named(id) else { return Ok(()) };
            let Some(record) = table.get(token) else { return Ok(()) };
            let Some(op) = record.op.as_mut().filter(|op| op.ends_by_itself()) else {
                return Ok(());
            };
            if op.onlooker.is_some() {
                return Err(Errno(EBUSY));
            }
            op.onlooker = Some(Arc::clone(&waiter));
            Begun::again(token, record.serial)
        };
        let ended = self.wait(&begun, &waiter, Instant::now().checked_add(GRACE), leaves_asts);
        if !matches!(ended, Ok(Some(_))) {
            self.abandon(begun.token, &waiter);
        }
        waiter.put_back();
        match ended? {
            Some(_) => Ok(()),
            None => Err(Errno(EBUSY)),
        }
    }

    /// Waits for the status, until the deadline: `None`. Unless they are left to another thread, ASTs
    /// are run here, as the caller may wait for what they do.
    fn wait(
        &self,
        begun: &Begun,
        waiter: &Arc<Waiter>,
        deadline: Option<Instant>,
        leaves_asts: bool,
    ) -> Result<Option<c_int>, Errno> {
        let handle = |due| if leaves_asts { self.due.push(due) } else { self.run(&due) };
        // Most operations end at once: the next result is their completion.
        if let Pumped::Due(due) = self.pump()? {
            handle(due);
        }
        if let Some(status) = waiter.status() {
            return Ok(Some(status));
        }
        self.learn(begun);
        let mut seat = None;
        loop {
            if let Some(status) = waiter.status() {
                return Ok(Some(status));
            }
            if !leaves_asts {
                self.enforce_deadlines()?;
                if let Some(due) = self.due.pop() {
                    self.run(&due);
                    continue;
                }
            }
            match self.pump()? {
                Pumped::Due(due) => {
                    handle(due);
                    continue;
                }
                Pumped::Handled => continue,
                Pumped::Empty => {}
            }
            if deadline.is_some_and(has_passed) {
                return Ok(None);
            }
            let seat = seat.get_or_insert_with(|| Seat::new(&self.seats, waiter));
            let leads = seat.try_lead();
            // Somebody else may have read the completion before this thread could be told, or
            // closed the lockspace: then the next turn says so.
            if waiter.status().is_some() || self.open().is_err() {
                continue;
            }
            if leads {
                self.sleep_at_device(leaves_asts, deadline)?;
            } else {
                waiter.sleep(deadline);
            }
        }
    }

    fn sleep_at_device(&self, leaves_asts: bool, deadline: Option<Instant>) -> Result<(), Errno> {
        let open = self.open()?;
        let device = &open.device;
        let sources = [
            device.removal(),
            device.as_fd(),
            self.gone.as_fd(),
            self.seats.nudge.as_fd(),
            self.deadlines.source(),
            self.due.source(),
        ];
        let used = if leaves_asts { 4 } else { sources.len() };
        let [removal, ..] = sleep(sources, used, deadline)?;
        self.seats.nudge.clear();
        if removal && device.was_removed()? { Err(Errno(ENODEV)) } else { Ok(()) }
    }

    /// Nobody waits for this operation any more: its status block is the caller's again.
    fn abandon(&self, token: Token, waiter: &Arc<Waiter>) {
        let is_ours = |other: &Option<Arc<Waiter>>| {
            other.as_ref().is_some_and(|other| Arc::ptr_eq(other, waiter))
        };
        let mut table = lock(&self.table);
        let Some(record) = table.get(token) else { return };
        let mut op = record.op.as_mut();
        while let Some(this) = op {
            if is_ours(&this.waiter) {
                this.lksb = None;
            }
            if this.canceller.as_ref().is_some_and(|canceller| is_ours(&canceller.1)) {
                this.canceller = None;
            }
            if is_ours(&this.onlooker) {
                this.onlooker = None;
            }
            op = this.under.as_deref_mut();
        }
    }
}
