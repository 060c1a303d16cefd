//! Conversions and the ways in which a lock ends.

use dlm_proto::LvbTransfer;
use dlm_runtime::{Completion, ConvertRequest, ErrorKind, Lock, LockFlags, Mode, UnlockError};
use std::time::Duration;

use super::random;
use super::worker::{Holding, Wish, Worker};
use super::world::add;

/// A conversion, as it was chosen.
struct Plan {
    wish: Wish,
    /// The number in the block that it writes.
    number: Option<u64>,
    reads: bool,
    floor: u64,
}

impl Worker<'_> {
    /// Converts once. `None` if the lock is gone, with its lockspace.
    pub(crate) fn convert<'r>(
        &mut self,
        lock: &Lock,
        holding: &Holding<'r>,
    ) -> Option<Holding<'r>> {
        let (request, plan) = self.conversion(lock, holding);
        let Holding { owner, resource, .. } = holding;
        self.count();
        // From here on the mode may change.
        holding.leave();
        let how = self.random.index(10);
        let answer = match how {
            0..6 => request.wait(),
            6..8 => self.await_future(owner, request.into_future()),
            _ => {
                let (ticket, stub) = self.ticket();
                if let Err(error) = request.start(move |end| stub.run(end)) {
                    ticket.excuse();
                    Err(error)
                } else if self.await_callback(owner, &ticket) {
                    Ok(ticket.end().unwrap())
                } else {
                    return None;
                }
            }
        };
        match answer {
            Ok(end) if end.is_granted() => self.check_conversion(holding, &plan, &end),
            Ok(end) => self.status(plan.wish, end.status),
            Err(error) if matches!(error.kind, ErrorKind::Illegal(_)) => {
                // After a cancelled CONVDEADLK the mode is not known. And CW that was granted in place of PR
                // may be PR to the node's own kernel, from which QUECVT leads nowhere.
                let was_demoted = holding.mode == Mode::Nl;
                let is_alternate = holding.mode == Mode::Cw
                    && plan.wish.mode == Mode::Pr
                    && plan.wish.flags.contains(LockFlags::QUECVT);
                assert!(
                    was_demoted || is_alternate,
                    "{:?} from {}: {error}",
                    plan.wish,
                    holding.mode
                );
            }
            Err(error) => self.refusal(owner, plan.wish, &error),
        }
        // A conversion that was given up may still be granted before its cancel comes through.
        dlm_tests::eventually("the conversion has ended", || !lock.is_in_flight());
        let mode = self.mode(owner, lock)?;
        Some(self.enter(owner, resource, mode))
    }

    fn conversion<'l>(
        &mut self,
        lock: &'l Lock,
        holding: &Holding<'_>,
    ) -> (ConvertRequest<'l>, Plan) {
        let (from, to) = (holding.mode, random::mode(&mut self.random));
        let mut flags = LockFlags::empty();
        for flag in [LockFlags::HEADQUE, LockFlags::NOORDER] {
            flags.set(flag, self.random.percent(10));
        }
        flags.set(LockFlags::QUECVT, from.allows_quecvt(to) && self.random.percent(20));
        let mut timeout = None;
        match self.random.index(4) {
            0 => flags |= LockFlags::NOQUEUE,
            1 => {
                flags |= *self.random.pick(&[LockFlags::CONVDEADLK, LockFlags::NODLCKWT]);
                timeout = Some(self.short());
            }
            // Two conversions can wait for each other.
            2 => timeout = Some(self.short()),
            _ => timeout = Some(Duration::from_millis(8)),
        }
        let notices = self.random.percent(10);
        let wish = Wish { mode: to, flags, lvb: self.random.percent(60), timeout, notices };
        let mut plan = Plan { wish, number: None, reads: false, floor: holding.resource.floor() };
        let mut request = lock.convert(to).flags(flags);
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        if notices {
            request = request.on_blocking(|_| ());
        }
        match from.lvb_transfer(to) {
            LvbTransfer::Read if wish.lvb => {
                plan.reads = true;
                request = request.read_lvb();
            }
            LvbTransfer::Write if wish.lvb && holding.writes() => {
                let (number, block) = holding.resource.issue();
                plan.number = Some(number);
                request = request.write_lvb(block);
            }
            _ => {}
        }
        (request, plan)
    }

    fn check_conversion(&self, holding: &Holding<'_>, plan: &Plan, end: &Completion) {
        add(&self.world.tally.granted);
        assert_eq!(end.mode, Some(plan.wish.mode));
        if let Some(number) = plan.number {
            add(&self.world.tally.written);
            holding.resource.note_stored(number);
        }
        if plan.reads {
            holding.resource.check_block(end.lvb, plan.floor);
        }
    }

    /// Ends the hold and the lock.
    pub(crate) fn give_up(&mut self, lock: Lock, holding: &Holding<'_>, wish: Wish) {
        let Holding { owner, resource, .. } = holding;
        let mut number = None;
        let how = self.random.index(10);
        if how == 0 {
            holding.leave();
            return drop(lock);
        }
        let mut request = lock.unlock();
        if holding.writes() && wish.lvb {
            if self.random.percent(80) {
                let (issued, block) = resource.issue();
                number = Some(issued);
                request = request.write_lvb(block);
            } else if self.random.percent(20) {
                request = request.invalidate_lvb();
            }
        }
        self.count();
        holding.leave();
        let answer: Result<(), UnlockError> = match how {
            1..7 => request.wait(),
            7 => self.await_future(owner, request.into_future()),
            8 => {
                let mut future = request.into_future();
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                // What is dropped now goes on.
                let _ = std::pin::Pin::new(&mut future).poll(&mut context);
                add(&self.world.tally.dropped_futures);
                return;
            }
            _ => {
                let (ticket, stub) = self.ticket();
                match request.start(move |end| stub.run(end)) {
                    Ok(()) if self.await_callback(owner, &ticket) => {
                        assert_eq!(ticket.end().unwrap().mode, None);
                        Ok(())
                    }
                    Ok(()) => return,
                    Err(failed) => {
                        ticket.excuse();
                        Err(failed)
                    }
                }
            }
        };
        match answer {
            Ok(()) => {
                if let Some(number) = number {
                    add(&self.world.tally.written);
                    resource.note_stored(number);
                }
            }
            Err(failed) => self.refusal(owner, wish, &failed.error),
        }
    }
}
