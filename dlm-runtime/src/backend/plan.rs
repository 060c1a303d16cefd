//! The plan of faults.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dlm_proto::Command;
use dlm_random::{STEP, stir};
use dlm_sys::{Call, Errno};

/// A fault of a request, in place of being submitted at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestFault {
    /// It is refused with this number, and never submitted.
    Fail(Errno),
    /// It is held up for this long, as by a lockspace that is stopped.
    Delay(Duration),
}

/// A fault of a result, in place of being given at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResultFault {
    /// This read fails with this number. The next one gives the result.
    Fail(Errno),
    /// It is given this much later. Those behind it overtake it.
    Delay(Duration),
    /// It is lost.
    Drop,
    /// It is given twice.
    Duplicate,
    /// It is given with these bits of one byte turned over. A byte behind its end is counted from
    /// its beginning again.
    Corrupt {
        /// The offset of the byte.
        at: usize,
        /// The bits of it that are flipped.
        mask: u8,
    },
}

/// Decides about each request and each result of a [`Faulty`](super::Faulty) backend, and about the
/// calls that create, open and remove lockspaces.
///
/// It is asked by the threads that make the calls, in the order of the calls.
pub trait Plan: Send + Sync {
    /// The fault of this request, if any.
    fn request(&self, command: Command, bytes: &[u8]) -> Option<RequestFault> {
        let _ = (command, bytes);
        None
    }

    /// The fault of this result, if any.
    fn result(&self, bytes: &[u8]) -> Option<ResultFault> {
        let _ = bytes;
        None
    }

    /// The fault of a call that is no request on an open lockspace, if any: [`Call::Submit`] of
    /// [`Command::CreateLockspace`] or [`Command::RemoveLockspace`], or [`Call::OpenLockspace`].
    fn call(&self, call: Call) -> Option<RequestFault> {
        let _ = call;
        None
    }
}

/// A plan from a closure that is asked about each call that creates, opens or removes a lockspace.
///
/// ```no_run
/// use dlm_runtime::Lockspace;
/// use dlm_runtime::backend::{Call, Errno, Faulty, Kernel, RequestFault, on_calls};
///
/// let plan = on_calls(|call| {
///     (call == Call::OpenLockspace).then_some(RequestFault::Fail(Errno::EACCES))
/// });
/// let refused = Lockspace::open_on(Faulty::new(Kernel, plan), "example");
/// assert!(refused.is_err_and(|error| error.is_permission_denied()));
/// ```
pub fn on_calls(
    decide: impl Fn(Call) -> Option<RequestFault> + Send + Sync + 'static,
) -> impl Plan + 'static {
    struct OnCalls<F>(F);
    impl<F: Fn(Call) -> Option<RequestFault> + Send + Sync> Plan for OnCalls<F> {
        fn call(&self, call: Call) -> Option<RequestFault> {
            (self.0)(call)
        }
    }
    OnCalls(decide)
}

/// A plan from a closure that is asked about each request.
pub fn on_requests(
    decide: impl Fn(Command, &[u8]) -> Option<RequestFault> + Send + Sync + 'static,
) -> impl Plan + 'static {
    struct OnRequests<F>(F);
    impl<F: Fn(Command, &[u8]) -> Option<RequestFault> + Send + Sync> Plan for OnRequests<F> {
        fn request(&self, command: Command, bytes: &[u8]) -> Option<RequestFault> {
            (self.0)(command, bytes)
        }
    }
    OnRequests(decide)
}

/// A plan from a closure that is asked about each result.
pub fn on_results(
    decide: impl Fn(&[u8]) -> Option<ResultFault> + Send + Sync + 'static,
) -> impl Plan + 'static {
    struct OnResults<F>(F);
    impl<F: Fn(&[u8]) -> Option<ResultFault> + Send + Sync> Plan for OnResults<F> {
        fn result(&self, bytes: &[u8]) -> Option<ResultFault> {
            (self.0)(bytes)
        }
    }
    OnResults(decide)
}

/// How often, and what.
type Chance<T> = (u32, T);

/// A plan that chooses by chance, the same for each run of the same calls from the same seed.
///
/// Nothing happens until it is told what may. Of several faults that would meet in one call, the
/// first of this list happens.
///
/// ```
/// use dlm_runtime::backend::{Errno, Seeded};
/// use std::time::Duration;
///
/// let plan = Seeded::new(7)
///     .refusals(50, Errno::ENOBUFS)
///     .delays(20, Duration::from_millis(5))
///     .duplicates(100);
/// ```
pub struct Seeded {
    state: AtomicU64,
    refusals: Option<Chance<Errno>>,
    delays: Option<Chance<Duration>>,
    read_errors: Option<Chance<Errno>>,
    late_results: Option<Chance<Duration>>,
    drops: Option<Chance<()>>,
    duplicates: Option<Chance<()>>,
    corruptions: Option<Chance<()>>,
    refused_calls: Option<Chance<Errno>>,
}

impl fmt::Debug for Seeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seeded").finish_non_exhaustive()
    }
}

impl Seeded {
    /// A plan in which nothing happens yet.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            state: AtomicU64::new(seed),
            refusals: None,
            delays: None,
            read_errors: None,
            late_results: None,
            drops: None,
            duplicates: None,
            corruptions: None,
            refused_calls: None,
        }
    }

    /// One of so many requests is refused with this number.
    #[must_use]
    pub const fn refusals(mut self, one_in: u32, errno: Errno) -> Self {
        self.refusals = Some((one_in, errno));
        self
    }

    /// One of so many requests is held up, for as long as this at most.
    #[must_use]
    pub const fn delays(mut self, one_in: u32, longest: Duration) -> Self {
        self.delays = Some((one_in, longest));
        self
    }

    /// One of so many reads of a result fails with this number.
    #[must_use]
    pub const fn read_errors(mut self, one_in: u32, errno: Errno) -> Self {
        self.read_errors = Some((one_in, errno));
        self
    }

    /// One of so many results comes late, by as much as this at most.
    #[must_use]
    pub const fn late_results(mut self, one_in: u32, latest: Duration) -> Self {
        self.late_results = Some((one_in, latest));
        self
    }

    /// One of so many results is lost.
    #[must_use]
    pub const fn drops(mut self, one_in: u32) -> Self {
        self.drops = Some((one_in, ()));
        self
    }

    /// One of so many results is given twice.
    #[must_use]
    pub const fn duplicates(mut self, one_in: u32) -> Self {
        self.duplicates = Some((one_in, ()));
        self
    }

    /// One of so many results is given with a changed byte.
    #[must_use]
    pub const fn corruptions(mut self, one_in: u32) -> Self {
        self.corruptions = Some((one_in, ()));
        self
    }

    /// One of so many calls that create, open or remove a lockspace is refused with this number.
    #[must_use]
    pub const fn refused_calls(mut self, one_in: u32, errno: Errno) -> Self {
        self.refused_calls = Some((one_in, errno));
        self
    }

    /// The next number of the sequence, whichever thread asks.
    fn next(&self) -> u64 {
        stir(self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP))
    }

    /// What comes of a chance, this time. One in nothing never comes.
    fn happens<T: Copy>(&self, chance: Option<Chance<T>>) -> Option<T> {
        let (one_in, what) = chance?;
        (self.next().checked_rem(one_in.into()) == Some(0)).then_some(what)
    }

    fn part_of(&self, longest: Duration) -> Duration {
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.next() % nanos.saturating_add(1).max(1))
    }
}

impl Plan for Seeded {
    fn request(&self, _: Command, _: &[u8]) -> Option<RequestFault> {
        if let Some(errno) = self.happens(self.refusals) {
            return Some(RequestFault::Fail(errno));
        }
        let longest = self.happens(self.delays)?;
        Some(RequestFault::Delay(self.part_of(longest)))
    }

    fn call(&self, _: Call) -> Option<RequestFault> {
        self.happens(self.refused_calls).map(RequestFault::Fail)
    }

    fn result(&self, _: &[u8]) -> Option<ResultFault> {
        if let Some(errno) = self.happens(self.read_errors) {
            return Some(ResultFault::Fail(errno));
        }
        if let Some(latest) = self.happens(self.late_results) {
            return Some(ResultFault::Delay(self.part_of(latest)));
        }
        if self.happens(self.drops).is_some() {
            return Some(ResultFault::Drop);
        }
        if self.happens(self.duplicates).is_some() {
            return Some(ResultFault::Duplicate);
        }
        self.happens(self.corruptions)?;
        let [low, high, mask, ..] = self.next().to_le_bytes();
        // At least one bit.
        Some(ResultFault::Corrupt { at: u16::from_le_bytes([low, high]).into(), mask: mask | 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(plan: &dyn Plan) -> Vec<Option<ResultFault>> {
        (0..1000).map(|_| plan.result(&[])).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_faults() {
        let plan = |seed| Seeded::new(seed).drops(10).corruptions(10);
        assert_eq!(faults(&plan(1)), faults(&plan(1)));
        assert_ne!(faults(&plan(1)), faults(&plan(2)));
    }

    #[test]
    fn faults_are_as_frequent_as_asked_for_and_others_never_come() {
        let seen = faults(&Seeded::new(3).duplicates(10));
        let count = seen.iter().flatten().count();
        assert!((50..200).contains(&count), "{count}");
        assert!(seen.iter().flatten().all(|fault| *fault == ResultFault::Duplicate));
        assert!(faults(&Seeded::new(3).drops(0)).iter().all(Option::is_none));
        assert!(faults(&Seeded::new(3).drops(1)).iter().all(Option::is_some));
    }

    #[test]
    fn a_delay_is_never_longer_than_the_longest() {
        let longest = Duration::from_micros(10);
        let plan = Seeded::new(4).delays(1, longest).late_results(1, Duration::MAX);
        for _ in 0..1000 {
            let fault = plan.request(Command::Lock, &[]);
            let Some(RequestFault::Delay(delay)) = fault else { unreachable!("{fault:?}") };
            assert!(delay <= longest);
            assert!(matches!(plan.result(&[]), Some(ResultFault::Delay(_))));
        }
    }
}
