//! The comparison of what came with what was wanted.

use dlm_proto::{Abi, LockResult, Mode, ModeCode, VERSION_LEN, ValueBlock, Version};
use dlm_sys::Errno;

use super::backend::{Backend, Queue, Resource};
use super::executor::{Executor, Observed};
use super::show::Block;
use super::step::{LockRef, Queues, Result as Expected, Step, Wanted};
use crate::request::cookies;

type Judged = Result<(), String>;

impl<B: Backend> Executor<B> {
    /// Compares what came of a step with what it wants.
    ///
    /// # Errors
    ///
    /// What differs.
    pub fn matches(&self, step: &Step, observed: &Observed) -> Judged {
        match (step, observed) {
            (Step::Open { errno, .. } | Step::Ask { errno, .. }, Observed::Answer(answer)) => {
                judge_answer(*errno, *answer)
            }
            (Step::Gets { session, size, wanted }, Observed::Bytes(answer, buffer)) => {
                self.judge_read(session, *size, wanted, *answer, buffer)
            }
            (Step::Reads { errno, .. }, Observed::Bytes(answer, _)) => match answer {
                Err(got) if got == errno => Ok(()),
                Err(got) => Err(format!("wanted {errno}, got {got}")),
                Ok(len) => Err(format!("wanted {errno}, got {len} bytes")),
            },
            (Step::Version { .. }, Observed::Bytes(answer, buffer)) => {
                let record = buffer.get(..VERSION_LEN).unwrap_or_default();
                match (answer, Version::decode(record)) {
                    (Ok(VERSION_LEN), Ok(Version { major: 6, minor: 0, .. })) => Ok(()),
                    (answer, version) => {
                        Err(format!("wanted version 6.0, got {answer:?}, {version:?}"))
                    }
                }
            }
            (Step::Ready { wanted, .. }, Observed::Ready(ready)) => {
                let name = |ready| if ready { "readable" } else { "unreadable" };
                equal("the device", &name(*wanted), &name(*ready))
            }
            (Step::Queues { wanted, .. }, Observed::Resource(found)) => {
                self.judge_queues(wanted.as_ref(), found.as_ref())
            }
            (Step::Ids { same, .. }, Observed::Ids(left, right)) => {
                if (left == right) == *same {
                    return Ok(());
                }
                Err(format!("the ids are {left} and {right}"))
            }
            (Step::Close { .. }, Observed::Done) => Ok(()),
            (_, other) => Err(format!("that came of something else: {other:?}")),
        }
    }

    fn judge_read(
        &self,
        session: &str,
        size: usize,
        wanted: &Wanted,
        answer: Result<usize, Errno>,
        buffer: &[u8],
    ) -> Judged {
        let len = match (wanted, answer) {
            (Wanted::Anything, _) | (Wanted::Nothing, Err(Errno::EAGAIN)) => return Ok(()),
            (_, Err(Errno::EAGAIN)) => return Err("no result".into()),
            (_, Err(errno)) => return Err(format!("read: {errno}")),
            (_, Ok(len)) => len,
        };
        let abi = if self.is_narrow(session) { Abi::V6_32 } else { Abi::V6_64 };
        let (record, rest) = buffer.split_at_checked(len).ok_or("read returned too much")?;
        if len > size || rest.iter().any(|byte| *byte != 0xa5) {
            return Err(format!("{len} bytes or more were written for a buffer of {size}"));
        }
        let result = LockResult::decode(abi, record)
            .map_err(|error| format!("the result is not understood: {error}"))?;
        let told = || format!("got {}", self.tell(&result));
        match wanted {
            Wanted::Anything => Ok(()),
            Wanted::Nothing => Err(told()),
            Wanted::Completion(expected) => {
                self.judge_result(expected, ModeCode(0), &result).map_err(|it| it + &told())
            }
            Wanted::Notice(mode, expected) => {
                self.judge_result(expected, (*mode).into(), &result).map_err(|it| it + &told())
            }
        }
    }

    fn judge_result(&self, expected: &Expected, mode: ModeCode, result: &LockResult<'_>) -> Judged {
        let (id, number) = match &expected.lock {
            LockRef::Named(name) => self.lock(name).map(|handle| (handle.id, handle.number))?,
            LockRef::Id(id) => (*id, 0),
        };
        let words = &expected.words;
        let usual = cookies(words.number.unwrap_or(number));
        let notice = mode != ModeCode(0);
        let (addr, param) = match notice {
            true => (usual.blocking_addr, usual.blocking_param),
            false => (usual.completion_addr, usual.completion_param),
        };
        equal("id", &id, &result.lock.0)?;
        equal("mode of a notice", &mode.0, &result.bast_mode.0)?;
        let version = |version: Version| format!("{}.{}", version.major, version.minor);
        equal("version", &"6.0".to_owned(), &version(result.version))?;
        equal("status", &expected.status.to_string(), &result.status.to_string())?;
        equal("status flags", &expected.flags, &result.flags.bits())?;
        equal("address", &Hex(words.addr.unwrap_or(addr)), &Hex(result.addr))?;
        equal("parameter", &Hex(words.param.unwrap_or(param)), &Hex(result.param))?;
        equal("lksb", &Hex(words.lksb.unwrap_or(usual.lksb)), &Hex(result.lksb))?;
        let block = |lvb: Option<&ValueBlock>| match lvb {
            Some(lvb) => Block(lvb).to_string(),
            None => "none".into(),
        };
        equal("value block", &block(expected.lvb.as_ref()), &block(result.lvb))
    }

    fn judge_queues(&self, wanted: Option<&Queues>, found: Option<&Resource>) -> Judged {
        let (wanted, found) = match (wanted, found) {
            (None, None) => return Ok(()),
            (None, Some(found)) => return Err(format!("got{}", self.queues(found))),
            (Some(_), None) => return Err("no lock is on this resource".into()),
            (Some(wanted), Some(found)) => (wanted, found),
        };
        let mut got = self.queues(found);
        if wanted.lvb.is_none() {
            got.lvb = None;
        }
        if self.by_id(wanted)? == self.by_id(&got)? {
            return Ok(());
        }
        Err(format!("got{got}"))
    }

    /// The queues of a resource, with the locks' names.
    #[must_use]
    pub fn queues(&self, found: &Resource) -> Queues {
        let mode = |code: i8| u8::try_from(code).ok().and_then(|code| ModeCode(code).known());
        // A mode that is none shows as the one that nothing has there.
        let mode = |code| mode(code).unwrap_or(Mode::Nl);
        let mut queues = Queues { lvb: Some(found.lvb.map(ValueBlock)), ..Queues::default() };
        for lock in &found.locks {
            let name = self.name_of(lock.id, None);
            match lock.queue {
                Queue::Granted => queues.granted.push((name, mode(lock.granted))),
                Queue::Waiting => queues.waiting.push((name, mode(lock.requested))),
                Queue::Converting => {
                    queues.converting.push((name, mode(lock.granted), mode(lock.requested)));
                }
            }
        }
        queues
    }

    fn by_id(&self, queues: &Queues) -> Result<Queues, String> {
        let id = |lock: &LockRef| match lock {
            LockRef::Named(name) => self.lock(name).map(|handle| LockRef::Id(handle.id)),
            LockRef::Id(id) => Ok(LockRef::Id(*id)),
        };
        let all = |locks: &[(LockRef, Mode)]| -> Result<Vec<_>, String> {
            locks.iter().map(|(lock, mode)| Ok((id(lock)?, *mode))).collect()
        };
        let converting: Result<Vec<_>, String> =
            queues.converting.iter().map(|(lock, from, to)| Ok((id(lock)?, *from, *to))).collect();
        Ok(Queues {
            granted: all(&queues.granted)?,
            converting: converting?,
            waiting: all(&queues.waiting)?,
            lvb: queues.lvb,
        })
    }
}

fn judge_answer(wanted: Option<Errno>, answer: Result<i64, Errno>) -> Judged {
    match (wanted, answer) {
        (None, Ok(_)) => Ok(()),
        (None, Err(errno)) => Err(format!("refused with {errno}")),
        (Some(wanted), Err(errno)) if wanted == errno => Ok(()),
        (Some(wanted), Err(errno)) => Err(format!("refused with {errno}, not {wanted}")),
        (Some(wanted), Ok(_)) => Err(format!("taken, not refused with {wanted}")),
    }
}

#[derive(PartialEq)]
struct Hex(u64);

impl std::fmt::Display for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

fn equal<T: PartialEq + std::fmt::Display>(what: &str, wanted: &T, got: &T) -> Judged {
    if wanted == got { Ok(()) } else { Err(format!("{what}: wanted {wanted}, got {got}\n")) }
}
