//! Random programs of three threads on a lock manager that is slow, late and repeats itself: in the
//! end nothing is left, and nobody is lost.
//!
//! `DLM_ROUNDS` says how many rounds of each kind, and `DLM_SEED` with which one they begin.

use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use dlm_random::Random;
use dlm_runtime::backend::Command;
use dlm_runtime::backend::{Backend, Faulty, Plan, RequestFault, ResultFault, Seeded};
use dlm_runtime::engine::{ClusterOptions, Profile};
use dlm_runtime::{Lock, LockRequest, Lockspace, LockspaceOptions, Mode};
use dlm_tests::{PATIENCE, Place, eventually};

dlm_tests::everywhere! {
    random_programs_leave_nothing_behind,
    random_programs_with_background_writes_leave_nothing_behind,
}

const THREADS: u64 = 3;
const STEPS: usize = 120;

fn number(variable: &str, otherwise: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.map_or(otherwise, |text| text.parse().expect("a number"))
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Faults {
    None,
    Late,
}

/// A plan of faults, or none.
struct Planned(Option<Seeded>);

impl Plan for Planned {
    fn request(&self, command: Command, bytes: &[u8]) -> Option<RequestFault> {
        self.0.as_ref()?.request(command, bytes)
    }

    fn result(&self, bytes: &[u8]) -> Option<ResultFault> {
        self.0.as_ref()?.result(bytes)
    }
}

impl Faults {
    fn plan(self, seed: u64) -> Planned {
        let late = Seeded::new(seed)
            .delays(40, Duration::from_micros(300))
            .late_results(15, Duration::from_micros(500));
        Planned(match self {
            Self::None => None,
            Self::Late => Some(late),
        })
    }
}

/// Polls a future some times, and drops it.
fn poll_some<F: Future>(future: impl IntoFuture<IntoFuture = F>, times: u64) -> Option<F::Output> {
    let mut future = pin!(future.into_future());
    for _ in 0..times {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Some(output);
        }
    }
    None
}

fn request<'a>(random: &mut Random, ls: &'a Lockspace) -> LockRequest<'a> {
    let mode = *random.pick(&Mode::ALL);
    let mut request = ls.lock(format!("r{}", random.below(4)), mode);
    if random.below(3) == 0 {
        request = request.with_lvb();
    }
    if random.below(3) == 0 {
        request = request.timeout(Duration::from_micros(random.below(2_000)));
    }
    if random.below(4) == 0 {
        request = request.no_queue();
    }
    match random.below(5) {
        0 => request.note_blocking(),
        1 => request.on_blocking(|_| ()),
        2 => request.on_blocking_with(|lock| {
            if lock.mode().is_some_and(|mode| mode != Mode::Nl) {
                let _ = lock.convert(Mode::Nl).timeout(Duration::from_millis(3)).wait();
            }
        }),
        _ => request,
    }
}

/// One way to take a lock, or to give up.
fn take(random: &mut Random, ls: &Lockspace) -> Option<Lock> {
    let request = request(random, ls);
    match random.below(8) {
        0 | 1 => request.timeout(Duration::from_micros(1_500)).wait().ok(),
        2 => request.start(|_| ()).ok(),
        3 => {
            let lock = request.start(|_| ()).ok()?;
            if random.below(2) == 0 {
                let _ = lock.cancel();
            }
            None
        }
        4 | 5 => poll_some(request, random.below(4))?.ok(),
        6 => {
            let _ = ls.purge(None, None);
            None
        }
        _ => None,
    }
}

/// One thing that is done with a lock.
fn use_one(random: &mut Random, held: &mut Vec<Lock>) {
    let at = random.index(held.len());
    let mode = *random.pick(&Mode::ALL);
    let lock = &held[at];
    match random.below(10) {
        0 => _ = held.swap_remove(at).unlock().timeout(PATIENCE).wait(),
        1 => _ = held.swap_remove(at).unlock().start(|_| ()),
        2 => _ = poll_some(held.swap_remove(at).unlock(), random.below(3)),
        3 => _ = lock.convert(mode).timeout(Duration::from_micros(random.below(1_500))).wait(),
        4 => _ = lock.convert(mode).on_blocking(|_| ()).start(|_| ()),
        5 => _ = poll_some(lock.convert(mode), random.below(3)),
        6 => _ = lock.cancel(),
        7 => _ = lock.cancel_as_deadlock(),
        8 => _ = lock.wait_blocked(Some(Duration::ZERO)),
        _ => drop(held.swap_remove(at)),
    }
}

fn program(seed: u64, ls: &Lockspace, other: &Lockspace, progress: &AtomicU64) {
    let mut random = Random::new(seed);
    let mut held = Vec::new();
    for _ in 0..STEPS {
        let ls = if random.below(4) == 0 { other } else { ls };
        held.extend(take(&mut random, ls));
        if !held.is_empty() && (held.len() > 3 || random.below(3) == 0) {
            use_one(&mut random, &mut held);
        }
        progress.fetch_add(1, SeqCst);
    }
}

/// One round. The other lockspace is without faults.
fn round(
    what: &str,
    seed: u64,
    faults: Faults,
    is_background: bool,
    inner: Arc<dyn Backend>,
    other: impl FnOnce() -> Lockspace,
) {
    eprintln!("{what}: seed {seed}, faults {faults:?}, background writes {is_background}");
    let faulty = Faulty::new(inner, faults.plan(seed ^ 77));
    let mut options = LockspaceOptions::new().backend(faulty.clone());
    if is_background {
        options = options.background_writes();
    }
    let ls = options.create("random").unwrap();
    let other = other();
    let delivery = ls.start_delivery().unwrap();
    let progress = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (ls, other, progress) = (&ls, &other, &progress);
            scope.spawn(move || program(seed * 31 + thread * 7919, ls, other, progress));
        }
    });
    assert_eq!(progress.into_inner(), THREADS * STEPS as u64);
    faulty.set_active(false);
    for ls in [&ls, &other] {
        ls.flush_drops().wait(Some(PATIENCE)).unwrap();
        eventually("nothing is left", || {
            // Unlocks that were started and not waited for.
            ls.dispatch().unwrap();
            ls.lock_count() == 0
        });
    }
    assert!(delivery.is_running());
    assert_eq!(delivery.callback_panics(), 0);
    delivery.stop(PATIENCE).unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn rounds(place: &Place, is_background: bool) {
    let first = number("DLM_SEED", 1);
    for seed in first..first + number("DLM_ROUNDS", 4) {
        for faults in [Faults::None, Faults::Late] {
            let other = || place.open("random").unwrap();
            round("one node", seed, faults, is_background, place.backend(), other);
        }
    }
}

fn random_programs_leave_nothing_behind(place: &Place) {
    rounds(place, false);
}

fn random_programs_with_background_writes_leave_nothing_behind(place: &Place) {
    rounds(place, true);
}

#[test]
fn random_programs_on_two_nodes_leave_nothing_behind() {
    let first = number("DLM_SEED", 1);
    for seed in first..first + number("DLM_ROUNDS", 4) {
        for faults in [Faults::None, Faults::Late] {
            for profile in [Profile::Linux6_1, Profile::Linux6_12] {
                let cluster = ClusterOptions::new().profile(profile).nodes(2).seed(seed).start();
                let other = || Lockspace::create_on(cluster.node(2), "random").unwrap();
                let node = Arc::new(cluster.node(1));
                round("two nodes", seed, faults, seed % 2 == 0, node, other);
            }
        }
    }
}
