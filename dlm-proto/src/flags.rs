//! The flag words of requests and results. Unknown bits survive a round trip.

use bitflags::bitflags;

bitflags! {
    /// Flags of lock, conversion and unlock requests: the `LKF_` values of `linux/dlmconstants.h`.
    ///
    /// Flags given to a lock or conversion replace those of the lock, flags given to an unlock are
    /// added to them; the kernel looks at the sum when it unlocks.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct LockFlags: u32 {
        /// Do not wait: fail with [`Again`](crate::LockStatus::Again) instead.
        const NOQUEUE = 0x0000_0001;
        /// With an unlock: cancel the pending request or conversion.
        const CANCEL = 0x0000_0002;
        /// With a lock: convert the lock that the lock id names.
        const CONVERT = 0x0000_0004;
        /// Use the lock value block.
        const VALBLK = 0x0000_0008;
        /// Conversion: queue behind the conversions that wait already.
        const QUECVT = 0x0000_0010;
        /// Mark the resource's lock value block invalid.
        const IVVALBLK = 0x0000_0020;
        /// Conversion: on a conversion deadlock, let the kernel demote this lock to NL.
        const CONVDEADLK = 0x0000_0040;
        /// The lock survives the close of its device as an orphan.
        const PERSISTENT = 0x0000_0080;
        /// Conversion: leave this lock out of conversion deadlock detection.
        const NODLCKWT = 0x0000_0100;
        /// Ignored by the kernel.
        const NODLCKBLK = 0x0000_0200;
        /// New NL request: grant at once, ahead of everything that waits.
        const EXPEDITE = 0x0000_0400;
        /// With NOQUEUE: notify the holders that block the request.
        const NOQUEUEBAST = 0x0000_0800;
        /// Queue at the head instead of the tail.
        const HEADQUE = 0x0000_1000;
        /// Grant without regard to the order of the queue.
        const NOORDER = 0x0000_2000;
        /// With a lock: adopt an orphan of this name and mode.
        const ORPHAN = 0x0000_4000;
        /// If the mode cannot be granted at once, try PR.
        const ALTPR = 0x0000_8000;
        /// If the mode cannot be granted at once, try CW.
        const ALTCW = 0x0001_0000;
        /// With an unlock: also while another operation is in flight. Never legal on a lock or
        /// conversion: the kernel takes it there and can then not release the lock any more.
        const FORCEUNLOCK = 0x0002_0000;
        /// Cancel after the request's timeout. Ignored by the kernel since 6.2.
        const TIMEOUT = 0x0004_0000;
        /// Private to C libdlm ("wait for the completion"); the kernel ignores it.
        const WAIT = 0x8000_0000;

        const _ = !0;
    }
}

bitflags! {
    /// Flags of a result's lock status block: the `DLM_SBF_` values of `linux/dlm.h`. Each
    /// operation starts from none.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct StatusFlags: u8 {
        /// The kernel demoted the lock to NL to resolve a conversion deadlock.
        const DEMOTED = 0x01;
        /// The resource's lock value block is not valid; its last content is returned all the same.
        const VALNOTVALID = 0x02;
        /// The alternate mode was granted.
        const ALTMODE = 0x04;

        const _ = !0;
    }
}

bitflags! {
    /// Flags for the creation of a lockspace: the `DLM_LSFL_` values of `linux/dlm.h`.
    ///
    /// Send none or NEWEXCL. Other bits become part of the lockspace and must be the same on each
    /// node of the cluster.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct LockspaceFlags: u32 {
        /// Without function in today's kernels.
        const TIMEWARN = 0x0000_0002;
        /// For file systems in the kernel.
        const FS = 0x0000_0004;
        /// Fail with EEXIST if the lockspace exists on this node.
        const NEWEXCL = 0x0000_0008;

        const _ = !0;
    }
}

bitflags! {
    /// Flags for the removal of a lockspace: the `DLM_USER_LSFLG_` values of `linux/dlm_device.h`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct RemoveFlags: u32 {
        /// Ignored by the kernel.
        const AUTOFREE = 0x0000_0001;
        /// Remove the lockspace although locks exist in it.
        const FORCEFREE = 0x0000_0002;

        const _ = !0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_bits_survive() {
        let bits = 0xfff8_0010;
        assert_eq!(LockFlags::from_bits_retain(bits).bits(), bits);
        assert_eq!(StatusFlags::from_bits_retain(0xf1).bits(), 0xf1);
    }
}
