//! Reading: from what is queued to the bytes of one result.

use dlm_proto::{
    Abi, AbiVersion, LVB_LEN, LockId, LockResult, LockStatus, ModeCode, PointerWidth, StatusFlags,
    VERSION_LEN, ValueBlock, Version,
};

use crate::chain::{self, OnResults};
use crate::errno::Errno;
use crate::lock::Bits;
use crate::results::Callback;
use crate::slab::NIL;
use crate::space::Space;

/// The version that the devices state.
pub(crate) const VERSION: Version = Version::new(6, 0, 2);

/// Answers the read of a version record, which has exactly this length. `None` for another length.
pub(crate) fn version(abi: Abi, buffer: &mut [u8]) -> Option<usize> {
    if abi.version == AbiVersion::V5 || buffer.len() != VERSION_LEN {
        return None;
    }
    buffer.copy_from_slice(&VERSION.encode());
    Some(VERSION_LEN)
}

/// A result to be written into a buffer.
struct Outgoing {
    addr: u64,
    param: u64,
    lksb: u64,
    status: LockStatus,
    lock: LockId,
    flags: StatusFlags,
    bast_mode: ModeCode,
    lvb: Option<ValueBlock>,
}

impl Space {
    /// Takes the next result of a session.
    pub(crate) fn read(&mut self, abi: Abi, index: u32, buffer: &mut [u8]) -> Result<usize, Errno> {
        let session = self.sessions.get_mut(index).ok_or(Errno::EBADF)?;
        let abi = match abi.version {
            AbiVersion::V6 if session.compat => Abi::V6_32,
            AbiVersion::V6 => Abi::V6_64,
            AbiVersion::V5 => abi,
        };
        let least = match abi.version {
            AbiVersion::V6 => Abi::V6_32.result_len(),
            AbiVersion::V5 => abi.result_len(),
        };
        if buffer.len() < least {
            return Err(Errno::EINVAL);
        }
        let result = self.next_result(index).ok_or(Errno::EAGAIN);
        if let Some(session) = self.sessions.get_mut(index) {
            session.announced = session.is_readable();
        }
        encode(abi, &result?, buffer)
    }

    fn next_result(&mut self, index: u32) -> Option<Outgoing> {
        // One of these two is empty.
        if let Some(snapshot) = self.sessions.get_mut(index)?.results.pop_front() {
            let (status, flags, bast_mode) = match snapshot.callback {
                Callback::Completion { status, flags, .. } => (status, flags, ModeCode(0)),
                Callback::Blocking { mode } => {
                    (LockStatus::Granted, StatusFlags::empty(), mode.into())
                }
            };
            return Some(Outgoing {
                addr: snapshot.addr,
                param: snapshot.param,
                lksb: snapshot.lksb,
                status,
                lock: snapshot.lock.id(),
                flags,
                bast_mode,
                lvb: snapshot.lvb,
            });
        }
        loop {
            let result = self.next_of_lock(index)?;
            if result.is_some() {
                return result;
            }
        }
    }

    /// 6.1: takes a result of the first lock that has some. `Some(None)` if it is a notice that the
    /// holder need not see any more.
    fn next_of_lock(&mut self, index: u32) -> Option<Option<Outgoing>> {
        let session = self.sessions.get_mut(index)?;
        let lock = session.pending.head;
        if lock == NIL {
            return None;
        }
        let it = &mut self.locks[lock];
        let callback = it.unread.pop();
        if it.unread.is_empty() {
            chain::remove::<OnResults>(&mut self.locks, &mut session.pending, lock);
        }
        let it = &mut self.locks[lock];
        let cookies = it.cookies;
        let outgoing = match callback {
            Some(Callback::Blocking { mode }) if !it.unread.is_stale(mode) => {
                Some((cookies.blocking_addr, cookies.blocking_param, mode.into(), None))
            }
            Some(Callback::Completion { mode, status, flags }) => {
                let granted = status == LockStatus::Granted;
                let carries = it.unread.complete(mode, granted, it.bits.contains(Bits::LVB));
                it.unread.last_status = (status.to_raw(), flags);
                let lvb = carries.then_some(it.lvb);
                Some((cookies.completion_addr, cookies.completion_param, ModeCode(0), lvb))
            }
            _ => None,
        };
        let (status, flags) = it.unread.last_status;
        let outgoing = outgoing.map(|(addr, param, bast_mode, lvb)| Outgoing {
            addr,
            param,
            lksb: cookies.lksb,
            status: LockStatus::from_raw(status),
            lock: lock.id(),
            flags,
            bast_mode,
            lvb,
        });
        self.release(lock);
        Some(outgoing)
    }
}

fn encode(abi: Abi, result: &Outgoing, buffer: &mut [u8]) -> Result<usize, Errno> {
    // What does not fit into a 32-bit word is cut off.
    let cut = |word: u64| match abi.width {
        PointerWidth::W64 => word,
        PointerWidth::W32 => word & 0xffff_ffff,
    };
    let fits = buffer.len() >= abi.result_len() + LVB_LEN;
    let result = LockResult {
        version: VERSION,
        addr: cut(result.addr),
        param: cut(result.param),
        lksb: cut(result.lksb),
        status: result.status,
        lock: result.lock,
        flags: result.flags,
        bast_mode: result.bast_mode,
        lvb: result.lvb.as_ref().filter(|_| fits),
    };
    // A kernel writes beyond a buffer of 52 to 71 bytes. Here the result is lost, as it is when a
    // kernel meets the end of the program's memory.
    result.encode(abi, buffer).map(<[u8]>::len).map_err(|_| Errno::EFAULT)
}
