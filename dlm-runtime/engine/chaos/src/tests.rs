//! That the rounds pass on the engine, and that they would not on a lock manager that is wrong.

use crate::round::{Front, Outcome, Round, plain};
use crate::{Plan, Tally};
use dlm_proto::{LockResult, LockStatus, StatusFlags};
use dlm_runtime::backend::{
    Abi, Accepted, Backend, BackendDevice, Command, Error, Faulty, LockspaceFlags, MAX_RESULT_LEN,
    RemoveFlags, ResultFault, on_results,
};
use dlm_runtime::engine::Node;
use dlm_runtime::{LockFlags, LockspaceName, Minor, Mode};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

/// Where a result has its flags, and a request its mode and flags.
const FLAGS: usize = 48;
const MODE: usize = 16;
const FLAGS_OF_REQUEST: usize = 20;

fn plan(rounds: u64) -> Plan<'static> {
    Plan { rounds, seed: 1, profile: None, kernel: None }
}

fn report(front: Front) -> String {
    let (_, failed) = plan(300).all(front).unwrap();
    failed.expect("nothing was found").1
}

/// Whether a result has this status.
fn is(bytes: &[u8], status: LockStatus) -> bool {
    let result = LockResult::decode(Abi::V6_64, bytes);
    result.is_ok_and(|it| it.status == status)
}

#[test]
fn rounds_pass_and_repeat_from_their_seed() {
    let run = || -> Vec<Tally> {
        let round = |seed| {
            let Outcome { tally, report } = Round::run(seed, None, plain).unwrap();
            assert_eq!(report, None, "seed {seed}");
            tally
        };
        (0..20).map(round).collect()
    };
    let first = run();
    assert!(first.iter().all(|tally| tally.grants > 10));
    assert_eq!(run(), first);
}

/// Asks for CR whenever EX is asked for.
#[derive(Debug)]
struct Weak<T>(T);

impl Backend for Weak<Node> {
    fn create(&self, name: &LockspaceName, flags: LockspaceFlags) -> Result<Minor, Error> {
        self.0.create(name, flags)
    }

    fn remove(&self, minor: Minor, flags: RemoveFlags) -> Result<(), Error> {
        self.0.remove(minor, flags)
    }

    fn find(&self, name: &LockspaceName) -> Result<Option<Minor>, Error> {
        self.0.find(name)
    }

    fn open(
        &self,
        name: &LockspaceName,
        minor: Option<Minor>,
        timeout: Duration,
    ) -> Result<Box<dyn BackendDevice>, Error> {
        Ok(Box::new(Weak(self.0.open(name, minor, timeout)?)))
    }
}

impl BackendDevice for Weak<Box<dyn BackendDevice>> {
    fn abi(&self) -> Abi {
        self.0.abi()
    }

    fn minor(&self) -> Minor {
        self.0.minor()
    }

    fn submit(&self, command: Command, request: &[u8]) -> Result<Accepted, Error> {
        let mut request = request.to_vec();
        let is_convert = LockFlags::CONVERT.bits().to_ne_bytes();
        let converts = request[FLAGS_OF_REQUEST] & is_convert[0] != 0;
        if command == Command::Lock && request[MODE] == Mode::Ex as u8 && !converts {
            request[MODE] = Mode::Cr as u8;
        }
        self.0.submit(command, &request)
    }

    fn read_result(&self, buffer: &mut [u8; MAX_RESULT_LEN]) -> Result<Option<usize>, Error> {
        self.0.read_result(buffer)
    }

    fn results(&self) -> BorrowedFd<'_> {
        self.0.results()
    }

    fn removal(&self) -> BorrowedFd<'_> {
        self.0.removal()
    }

    fn was_removed(&self) -> Result<bool, Error> {
        self.0.was_removed()
    }
}

#[test]
fn two_holders_are_found() {
    let report = report(|node| Arc::new(Weak(node)));
    assert!(report.contains("while node"), "{report}");
}

#[test]
fn a_lost_value_is_found() {
    fn front(node: Node) -> Arc<dyn Backend> {
        Arc::new(Faulty::new(
            node,
            on_results(|bytes| {
                let mask = StatusFlags::VALNOTVALID.bits();
                let is_marked = is(bytes, LockStatus::Granted)
                    && bytes.get(FLAGS).is_some_and(|flags| flags & mask != 0);
                is_marked.then_some(ResultFault::Corrupt { at: FLAGS, mask })
            }),
        ))
    }
    let report = report(front);
    assert!(report.contains("was lost"), "{report}");
}

#[test]
fn an_operation_that_never_ends_is_found() {
    fn front(node: Node) -> Arc<dyn Backend> {
        use std::sync::atomic::{AtomicU32, Ordering};
        let count = AtomicU32::new(0);
        Arc::new(Faulty::new(
            node,
            on_results(move |bytes| {
                let is_unlock = is(bytes, LockStatus::Unlocked);
                let count = count.fetch_add(u32::from(is_unlock), Ordering::Relaxed);
                (is_unlock && count == 20).then_some(ResultFault::Drop)
            }),
        ))
    }
    let report = report(front);
    assert!(report.contains("never ended: Unlocks"), "{report}");
}
