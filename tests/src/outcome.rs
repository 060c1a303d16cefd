//! Results, and what tests expect of them.

use dlm_proto::{
    Abi, LockId, LockResult, LockStatus, Mode, ModeCode, StatusFlags, ValueBlock, Version,
};

use crate::request::cookies;

/// One result, kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The bytes that `read` returned.
    pub len: usize,
    /// The version in the record.
    pub version: Version,
    /// The address word, which tells completions from blocking notices.
    pub addr: u64,
    /// The parameter word.
    pub param: u64,
    /// The lksb word.
    pub lksb: u64,
    /// How the operation ended.
    pub status: LockStatus,
    /// The lock.
    pub lock: LockId,
    /// The status flags.
    pub flags: StatusFlags,
    /// The mode of a blocking notice.
    pub bast_mode: ModeCode,
    /// The value block, if the record has one.
    pub lvb: Option<ValueBlock>,
}

impl Outcome {
    /// Decodes what one `read` returned.
    ///
    /// # Panics
    ///
    /// If it is no result of this layout.
    #[must_use]
    #[track_caller]
    pub fn decode(abi: Abi, bytes: &[u8]) -> Self {
        let result = match LockResult::decode(abi, bytes) {
            Ok(result) => result,
            Err(error) => panic!("the kernel's result is not understood: {error}\n{bytes:02x?}"),
        };
        Self {
            len: bytes.len(),
            version: result.version,
            addr: result.addr,
            param: result.param,
            lksb: result.lksb,
            status: result.status,
            lock: result.lock,
            flags: result.flags,
            bast_mode: result.bast_mode,
            lvb: result.lvb.copied(),
        }
    }

    /// Checks that this is the completion of the request that was made with `cookies(n)`, and that
    /// it ended so.
    ///
    /// # Panics
    ///
    /// If not.
    #[track_caller]
    pub fn completes(self, n: u8, status: LockStatus) -> Self {
        let words = cookies(n);
        let wanted = (words.completion_addr, words.completion_param, words.lksb, status);
        let got = (self.addr, self.param, self.lksb, self.status);
        assert_eq!(got, wanted, "wanted the completion of request {n} ({status}): {self:x?}");
        assert_eq!(self.bast_mode, ModeCode(0), "a completion has no mode: {self:x?}");
        self
    }

    /// Checks that this is a blocking notice to the lock of `cookies(n)` for this mode.
    ///
    /// # Panics
    ///
    /// If not.
    #[track_caller]
    pub fn blocks(self, n: u8, mode: Mode) -> Self {
        let words = cookies(n);
        let wanted = (words.blocking_addr, words.blocking_param, words.lksb, mode.into());
        let got = (self.addr, self.param, self.lksb, self.bast_mode);
        assert_eq!(got, wanted, "wanted a blocking notice to lock {n} for {mode}: {self:x?}");
        assert_eq!(self.lvb, None, "a blocking notice has no value block: {self:x?}");
        self
    }
}
