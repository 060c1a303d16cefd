//! The record of what came, in the words of a scenario.

use dlm_proto::{Abi, LockResult, MAX_RESULT_LEN, ModeCode};

use super::backend::Backend;
use super::executor::{Executor, Observed};
use super::step::{LockRef, Result as Got, Step, Wanted, Words};
use crate::request::cookies;

impl<B: Backend> Executor<B> {
    /// The step with what came of it as what it wants.
    #[must_use]
    pub fn record(&self, step: &Step, observed: &Observed) -> Step {
        let mut step = step.clone();
        match (&mut step, observed) {
            (Step::Open { errno, .. } | Step::Ask { errno, .. }, Observed::Answer(answer)) => {
                *errno = answer.err();
            }
            (Step::Gets { session, wanted, .. }, Observed::Bytes(answer, buffer)) => {
                let abi = if self.is_narrow(session) { Abi::V6_32 } else { Abi::V6_64 };
                let record = answer.ok().and_then(|len| buffer.get(..len.min(MAX_RESULT_LEN)));
                *wanted = match record.map(|record| LockResult::decode(abi, record)) {
                    None => Wanted::Nothing,
                    Some(Ok(result)) => self.tell(&result),
                    // What cannot be written down is not asked for.
                    Some(Err(_)) => Wanted::Anything,
                };
            }
            (Step::Reads { errno, .. }, Observed::Bytes(Err(got), _)) => *errno = *got,
            (Step::Ready { wanted, .. }, Observed::Ready(ready)) => *wanted = *ready,
            (Step::Queues { wanted, .. }, Observed::Resource(found)) => {
                *wanted = found.as_ref().map(|found| self.queues(found));
            }
            (Step::Ids { same, .. }, Observed::Ids(left, right)) => *same = left == right,
            _ => {}
        }
        step
    }

    /// A result as a scenario wants it.
    #[must_use]
    pub fn tell(&self, result: &LockResult<'_>) -> Wanted {
        let notice = result.bast_mode.known().filter(|_| result.bast_mode != ModeCode(0));
        // The words of all locks differ in the last byte only.
        let number = |word: u64| u8::try_from(word & 0xff).unwrap_or(0);
        let lock = self.name_of(result.lock.0, Some(number(result.addr)));
        let usual = match &lock {
            LockRef::Named(name) => self.lock(name).map_or(0, |handle| handle.number),
            LockRef::Id(_) => 0,
        };
        let expects = |number| {
            let words = cookies(number);
            match notice {
                Some(_) => (words.blocking_addr, words.blocking_param, words.lksb),
                None => (words.completion_addr, words.completion_param, words.lksb),
            }
        };
        let got = (result.addr, result.param, result.lksb);
        let mut words = Words::default();
        let other = number(result.param);
        if got == expects(usual) {
        } else if got == expects(other) {
            words.number = Some(other);
        } else {
            let (addr, param, lksb) = expects(usual);
            let differs = |got, usual| Some(got).filter(|_| got != usual);
            words.addr = differs(result.addr, addr);
            words.param = differs(result.param, param);
            words.lksb = differs(result.lksb, lksb);
        }
        let told = Got {
            lock,
            status: result.status,
            flags: result.flags.bits(),
            lvb: result.lvb.copied(),
            words,
        };
        match notice {
            Some(mode) => Wanted::Notice(mode, told),
            None => Wanted::Completion(told),
        }
    }

    /// The lock with this id; of several, that with this number, or else the last one.
    #[must_use]
    pub fn name_of(&self, id: u32, number: Option<u8>) -> LockRef {
        let those = || self.locks().filter(move |(_, handle)| handle.id == id);
        let exact = those().find(|(_, handle)| Some(handle.number) == number);
        let last = || those().max_by_key(|(_, handle)| handle.number);
        match exact.or_else(last) {
            Some((name, _)) => LockRef::Named(name.clone()),
            None => LockRef::Id(id),
        }
    }
}
