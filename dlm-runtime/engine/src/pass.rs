//! The pass over a resource after a change: grants to those who wait, and notices to those who
//! hold.

use dlm_proto::{LockFlags, Mode};

use crate::chain::OnQueue;
use crate::chain::{Chain, List};
use crate::grant::{Verdict, When};
use crate::lock::Notice;
use crate::slab::{NIL, Ref};
use crate::space::Space;

/// The modes that are still blocked after a pass.
#[derive(Debug, Clone, Copy, Default)]
struct Blocked {
    highest: Option<Mode>,
    /// A CW is among it.
    cw: bool,
}

impl Blocked {
    fn add(&mut self, mode: Option<Mode>) {
        self.highest = self.highest.max(mode);
        self.cw |= mode == Some(Mode::Cw);
    }
}

/// Whether a lock that holds `granted` and was notified of `noticed` is to be notified that others
/// wait, of whom the highest wants `highest`.
fn needs_notice(granted: Mode, noticed: Mode, blocked: Blocked) -> bool {
    if granted == Mode::Pr && blocked.cw {
        return noticed < Mode::Ex;
    }
    blocked.highest.is_some_and(|highest| noticed < highest && !granted.is_compatible_with(highest))
}

/// Whether a lock that holds `granted` and was notified of `noticed` is to be notified that another
/// wants `wanted`.
fn needs_notice_of(granted: Mode, noticed: Mode, wanted: Mode) -> bool {
    match (granted, wanted) {
        (Mode::Pr, Mode::Cw) | (Mode::Cw, Mode::Pr) => noticed < Mode::Ex,
        _ => noticed < wanted && !granted.is_compatible_with(wanted),
    }
}

impl Space {
    /// Grants what can be granted now, and notifies the holders that block the rest.
    pub(crate) fn pass(&mut self, resource: u32) {
        let here = &self.resources[resource];
        if here.converting.is_empty() && here.waiting.is_empty() {
            return;
        }
        let mut blocked = self.pass_converting(resource);
        self.pass_waiting(resource, &mut blocked);
        let Some(highest) = blocked.highest else { return };
        let here = &self.resources[resource];
        let needed = here.noticed.any(|granted, noticed| needs_notice(granted, noticed, blocked));
        if !needed && !self.walks {
            return;
        }
        let mut at = here.granted.head;
        while at != NIL {
            let holder = &self.locks[at];
            let next = OnQueue::link(holder).next;
            let held = holder.granted;
            if held.is_some_and(|held| needs_notice(held, holder.noticed.0, blocked)) {
                let cw = blocked.cw && highest == Mode::Pr && held == Some(Mode::Pr);
                self.notify(at, if cw { Mode::Cw } else { highest });
                self.change(at, |holder| holder.noticed = Notice(highest));
            }
            at = next;
        }
    }

    /// Grants conversions.
    pub(crate) fn pass_conversions(&mut self, resource: u32) {
        let _blocked = self.pass_converting(resource);
    }

    fn pass_converting(&mut self, resource: u32) -> Blocked {
        let mut blocked = Blocked::default();
        if self.resources[resource].unusual_conversions == 0 && !self.walks && !self.recovering {
            // Only the first one can be granted, and none is in a deadlock: a conversion that would
            // have been was refused when it came.
            self.grant_heads(|space| space.resources[resource].converting);
            let conversions = &self.resources[resource].conversions;
            blocked.highest = conversions.highest();
            blocked.cw = conversions.get(Mode::Cw) > 0;
            return blocked;
        }
        let mut may_repeat_for_demoted = true;
        loop {
            let (mut granted, mut demoted) = (false, false);
            blocked.highest = None;
            let mut at = self.resources[resource].converting.head;
            while at != NIL {
                let next = OnQueue::link(&self.locks[at]).next;
                let was_demoted = self.locks[at].is_demoted();
                match self.judge(at, When::Queued) {
                    Verdict::Yes => {
                        self.grant_queued(at);
                        granted = true;
                    }
                    Verdict::No if !was_demoted && self.locks[at].is_demoted() => demoted = true,
                    Verdict::No => blocked.add(self.locks[at].requested),
                    Verdict::Deadlock => self.notify_of_itself(at),
                }
                at = next;
            }
            let repeats = granted || (demoted && may_repeat_for_demoted);
            if !repeats {
                return blocked;
            }
            may_repeat_for_demoted &= granted;
        }
    }

    /// A converter with NODLCKWT that is in a deadlock is asked to give way.
    fn notify_of_itself(&mut self, lock: Ref) {
        let it = &self.locks[lock];
        let Some(wanted) = it.requested.filter(|_| it.flags.contains(LockFlags::NODLCKWT)) else {
            return;
        };
        if it.noticed.0 < wanted {
            self.notify(lock, wanted);
            self.change(lock, |lock| lock.noticed = Notice(wanted));
        }
    }

    fn pass_waiting(&mut self, resource: u32, blocked: &mut Blocked) {
        if self.resources[resource].unusual_requests == 0 && !self.walks {
            self.grant_heads(|space| space.resources[resource].waiting);
            let requests = &self.resources[resource].requests;
            blocked.highest = blocked.highest.max(requests.highest());
            blocked.cw |= requests.get(Mode::Cw) > 0;
            return;
        }
        let mut at = self.resources[resource].waiting.head;
        while at != NIL {
            let next = OnQueue::link(&self.locks[at]).next;
            if self.judge(at, When::Queued) == Verdict::Yes {
                self.grant_queued(at);
            } else {
                blocked.add(self.locks[at].requested);
            }
            at = next;
        }
    }

    fn grant_heads(&mut self, list: impl Fn(&Self) -> List) {
        loop {
            let head = list(self).head;
            if head == NIL || !self.is_grantable(head, When::Queued) {
                return;
            }
            self.grant_queued(head);
        }
    }

    fn grant_queued(&mut self, lock: Ref) {
        self.grant(lock);
        self.complete(lock, dlm_proto::LockStatus::Granted);
    }

    /// Notifies the granted locks that keep this one from being granted.
    pub(crate) fn notify_holders(&mut self, lock: Ref) {
        self.notify_those(lock, self.resources[self.locks[lock].resource].granted);
    }

    /// Notifies the granted and converting locks that keep this one from being granted.
    pub(crate) fn notify_all(&mut self, lock: Ref) {
        self.notify_holders(lock);
        self.notify_those(lock, self.resources[self.locks[lock].resource].converting);
    }

    fn notify_those(&mut self, lock: Ref, list: List) {
        let asking = &self.locks[lock];
        let Some(wanted) = asking.requested else { return };
        let here = &self.resources[asking.resource];
        let on_granted = list.head == here.granted.head;
        let needed = here.noticed.any(|held, noticed| needs_notice_of(held, noticed, wanted));
        if on_granted && !needed && !self.walks {
            return;
        }
        let mut at = list.head;
        while at != NIL {
            let holder = &self.locks[at];
            let next = OnQueue::link(holder).next;
            let noticed = holder.noticed.0;
            let needs = holder.granted.is_some_and(|held| needs_notice_of(held, noticed, wanted));
            if at != lock && needs {
                self.notify(at, wanted);
                self.change(at, |holder| holder.noticed = Notice(wanted));
            }
            at = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::compatible;

    #[test]
    fn a_holder_is_notified_of_what_it_blocks_and_was_not_notified_of() {
        for held in Mode::ALL {
            for wanted in Mode::ALL {
                let blocks = !compatible(Some(held), Some(wanted));
                assert_eq!(needs_notice_of(held, Mode::Nl, wanted), blocks, "{held} {wanted}");
                assert!(!needs_notice_of(held, Mode::Ex, wanted));
            }
        }
        // PR and CW block each other although neither is above the other.
        assert!(needs_notice_of(Mode::Pr, Mode::Pw, Mode::Cw));
        assert!(needs_notice_of(Mode::Cw, Mode::Pw, Mode::Pr));
        assert!(!needs_notice_of(Mode::Ex, Mode::Pw, Mode::Pr));
    }

    #[test]
    fn after_a_pass_the_highest_blocked_mode_counts_and_any_cw_for_pr_holders() {
        let blocked = Blocked { highest: Some(Mode::Pr), cw: false };
        assert!(needs_notice(Mode::Ex, Mode::Nl, blocked));
        assert!(!needs_notice(Mode::Ex, Mode::Pr, blocked));
        assert!(!needs_notice(Mode::Pr, Mode::Nl, blocked));
        assert!(needs_notice(Mode::Pr, Mode::Pw, Blocked { cw: true, ..blocked }));
    }
}
