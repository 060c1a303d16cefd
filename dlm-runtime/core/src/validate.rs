//! The checks of what a request may carry. What is refused here is refused by the kernel, does
//! nothing, or does harm (seen on 6.1 and 6.12; "harm" from a warning in the kernel's log to a lock
//! that nobody can release any more).

use dlm_proto::{LockFlags, LvbTransfer, Mode};

/// A set of flags, and why it may not be given.
type Rule = (LockFlags, &'static str);

const WRONG_QUECVT: &str = "QUECVT is for conversions to a stronger mode, or between CW and PR";

/// Of the flags that a request may never have, those that harm the kernel.
const NEVER_HARMLESS: [Rule; 1] = [(
    LockFlags::FORCEUNLOCK,
    "FORCEUNLOCK belongs to unlocks: on a request it leaves a lock that nobody can release",
)];

const NEVER: [Rule; 6] = [
    (LockFlags::CANCEL, "CANCEL is a call of its own: Lock::cancel"),
    (LockFlags::CONVERT, "CONVERT is a call of its own: Lock::convert"),
    (
        LockFlags::FORCEUNLOCK,
        "FORCEUNLOCK belongs to unlocks: on a request it leaves a lock that nobody can release",
    ),
    (LockFlags::ORPHAN, "ORPHAN is a call of its own: Lockspace::adopt"),
    (
        LockFlags::PERSISTENT,
        "PERSISTENT is for granted locks (Lock::persist): a purge of one that waits crashes the kernel",
    ),
    (
        LockFlags::IVVALBLK,
        "IVVALBLK belongs to unlocks (invalidate_lvb): a request keeps it until then",
    ),
];

/// Of the same, those that make another call of a request.
const OTHER_CALLS: [Rule; 2] = [
    (LockFlags::CONVERT, "CONVERT is a call of its own: Core::convert"),
    (LockFlags::ORPHAN, "ORPHAN is a call of its own: Core::adopt"),
];

const IGNORED: [Rule; 3] = [
    (LockFlags::TIMEOUT, "TIMEOUT is ignored by kernels since 6.2: use timeout()"),
    (LockFlags::NODLCKBLK, "NODLCKBLK is ignored by every kernel"),
    (LockFlags::WAIT, "WAIT is private to C libdlm: use wait()"),
];

const CONVERSIONS_ONLY: [Rule; 3] = [
    (LockFlags::QUECVT, "QUECVT is for conversions only"),
    (LockFlags::CONVDEADLK, "CONVDEADLK is for conversions only"),
    (LockFlags::NODLCKWT, "NODLCKWT is for conversions only"),
];

const REQUESTS_ONLY: [Rule; 3] = [
    (LockFlags::EXPEDITE, "EXPEDITE is for new requests only"),
    (
        LockFlags::ALTPR,
        "ALTPR is for new requests only: of a conversion the granted mode would be unknown",
    ),
    (
        LockFlags::ALTCW,
        "ALTCW is for new requests only: of a conversion the granted mode would be unknown",
    ),
];

/// Checks the flags of a new request.
#[inline]
pub(crate) fn request(mode: Mode, flags: LockFlags) -> Result<(), &'static str> {
    if flags.is_empty() { Ok(()) } else { request_flags(mode, flags) }
}

fn request_flags(mode: Mode, flags: LockFlags) -> Result<(), &'static str> {
    check_common(flags)?;
    refuse_any(flags, &CONVERSIONS_ONLY)?;
    if flags.contains(LockFlags::EXPEDITE) {
        if mode != Mode::Nl {
            return Err("EXPEDITE is for mode NL only");
        }
        if flags.contains(LockFlags::NOQUEUE) {
            return Err("NOQUEUE cannot be combined with EXPEDITE, which never waits");
        }
    }
    Ok(())
}

/// Checks the flags of a conversion.
pub(crate) fn conversion(from: Mode, to: Mode, flags: LockFlags) -> Result<(), &'static str> {
    check_common(flags - LockFlags::CONVERT)?;
    refuse_any(flags, &REQUESTS_ONLY)?;
    if flags.contains(LockFlags::CONVDEADLK | LockFlags::NOQUEUE) {
        return Err(
            "NOQUEUE cannot be combined with CONVDEADLK, which is for conversions that may wait",
        );
    }
    if flags.contains(LockFlags::QUECVT) && !from.allows_quecvt(to) {
        return Err(WRONG_QUECVT);
    }
    Ok(())
}

/// Checks the flags of a request whose caller may do what the kernel allows. FORCEUNLOCK would
/// leave a lock that nobody can release (#force-on-a-request).
#[inline]
pub(crate) fn harmless(flags: LockFlags) -> Result<(), &'static str> {
    refuse_any(flags, &NEVER_HARMLESS)?;
    refuse_any(flags, &OTHER_CALLS)
}

/// The same for the adoption of an orphan.
pub(crate) fn adoption(flags: LockFlags) -> Result<(), &'static str> {
    harmless(flags - LockFlags::ORPHAN)
}

/// The same for a conversion from each of the modes that the lock may have.
pub(crate) fn harmless_conversion(
    from: impl IntoIterator<Item = Mode>,
    to: Mode,
    flags: LockFlags,
) -> Result<(), &'static str> {
    refuse_any(flags, &NEVER_HARMLESS)?;
    let alternates = [(LockFlags::ALTPR, Mode::Pr), (LockFlags::ALTCW, Mode::Cw)];
    for from in from {
        // The kernel refuses it with a warning in its log (#refused-with-a-warning).
        if flags.contains(LockFlags::QUECVT) && !from.allows_quecvt(to) {
            return Err(WRONG_QUECVT);
        }
        // The kernel grants that twice if it has to wait (#alternate-granted-twice).
        let held = |(flag, mode)| flags.contains(flag) && mode == from;
        if !flags.contains(LockFlags::NOQUEUE) && alternates.into_iter().any(held) {
            return Err(
                "ALTPR and ALTCW cannot name the mode that is held: the lock would be left without one",
            );
        }
    }
    Ok(())
}

/// Checks that a conversion moves the value block as its caller expects. `writes`: a block is
/// given.
pub(crate) fn conversion_lvb(from: Mode, to: Mode, writes: bool) -> Result<(), &'static str> {
    match (from.lvb_transfer(to), writes) {
        (LvbTransfer::Read, false) | (LvbTransfer::Write, true) => Ok(()),
        (LvbTransfer::Read, true) => Err(
            "write_lvb(): a conversion between these modes reads the value block; use read_lvb()",
        ),
        (LvbTransfer::Write, false) => Err(
            "read_lvb(): a conversion between these modes writes the value block; use write_lvb()",
        ),
        (LvbTransfer::None, _) => {
            Err("a conversion between these modes neither reads nor writes the value block")
        }
    }
}

fn check_common(flags: LockFlags) -> Result<(), &'static str> {
    refuse_any(flags, &NEVER)?;
    refuse_any(flags, &IGNORED)?;
    if flags.contains(LockFlags::NOQUEUEBAST) && !flags.contains(LockFlags::NOQUEUE) {
        return Err("NOQUEUEBAST needs NOQUEUE");
    }
    if flags.iter_names().map(|(_, flag)| flag).collect::<LockFlags>() != flags {
        return Err("flag bits that no kernel knows");
    }
    Ok(())
}

fn refuse_any(flags: LockFlags, rules: &[Rule]) -> Result<(), &'static str> {
    match rules.iter().find(|(flag, _)| flags.contains(*flag)) {
        Some((_, reason)) => Err(reason),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn each_refusal_has_its_own_reason() {
        let flags = LockFlags::NOQUEUE | LockFlags::NOQUEUEBAST | LockFlags::HEADQUE;
        assert_eq!(request(Mode::Ex, flags), Ok(()));
        assert_eq!(request(Mode::Nl, LockFlags::EXPEDITE), Ok(()));
        let mut reasons = Vec::new();
        for flag in NEVER.iter().chain(&IGNORED).chain(&CONVERSIONS_ONLY).map(|rule| rule.0) {
            reasons.push(request(Mode::Ex, flag).unwrap_err());
        }
        reasons.push(request(Mode::Ex, LockFlags::NOQUEUEBAST).unwrap_err());
        reasons.push(request(Mode::Ex, LockFlags::EXPEDITE).unwrap_err());
        let both = LockFlags::EXPEDITE | LockFlags::NOQUEUE;
        reasons.push(request(Mode::Nl, both).unwrap_err());
        reasons.push(request(Mode::Ex, LockFlags::from_bits_retain(1 << 25)).unwrap_err());
        let count = reasons.len();
        reasons.sort_unstable();
        reasons.dedup();
        assert_eq!(reasons.len(), count);
    }

    #[test]
    fn a_refusal_begins_with_the_flag() {
        let rules = NEVER.iter().chain(&NEVER_HARMLESS).chain(&OTHER_CALLS).chain(&IGNORED);
        for (flag, reason) in rules.chain(&CONVERSIONS_ONLY).chain(&REQUESTS_ONLY) {
            let (name, _) = flag.iter_names().next().unwrap();
            assert!(reason.starts_with(&alloc::format!("{name} ")), "{name}: {reason}");
        }
    }

    #[test]
    fn what_does_harm_is_refused_to_everybody() {
        for flag in [LockFlags::FORCEUNLOCK, LockFlags::CONVERT] {
            assert!(harmless(flag).is_err() && adoption(flag).is_err(), "{flag:?}");
        }
        assert!(harmless(LockFlags::ORPHAN).is_err() && adoption(LockFlags::ORPHAN).is_ok());
        let most = LockFlags::all() - LockFlags::FORCEUNLOCK - LockFlags::CONVERT;
        assert_eq!(harmless(most - LockFlags::ORPHAN), Ok(()));
        let check = |from: &[Mode], to, flags| {
            harmless_conversion(from.iter().copied(), to, flags | LockFlags::CONVERT)
        };
        assert!(check(&[Mode::Nl], Mode::Ex, LockFlags::FORCEUNLOCK).is_err());
        assert_eq!(check(&[Mode::Nl], Mode::Ex, LockFlags::QUECVT), Ok(()));
        assert!(check(&[Mode::Nl, Mode::Ex], Mode::Ex, LockFlags::QUECVT).is_err());
        let both = LockFlags::ALTPR | LockFlags::ALTCW;
        assert_eq!(check(&[Mode::Cr], Mode::Ex, both), Ok(()));
        for held in [Mode::Pr, Mode::Cw] {
            assert!(check(&[Mode::Nl, held], Mode::Ex, both).is_err());
            assert_eq!(check(&[held], Mode::Ex, both | LockFlags::NOQUEUE), Ok(()));
        }
    }

    #[test]
    fn conversions_take_what_belongs_to_them() {
        let convert = LockFlags::CONVERT;
        assert_eq!(conversion(Mode::Nl, Mode::Ex, convert | LockFlags::QUECVT), Ok(()));
        assert_eq!(conversion(Mode::Pr, Mode::Cw, convert | LockFlags::QUECVT), Ok(()));
        assert!(conversion(Mode::Ex, Mode::Pr, convert | LockFlags::QUECVT).is_err());
        assert!(conversion(Mode::Pr, Mode::Pr, convert | LockFlags::QUECVT).is_err());
        let both = convert | LockFlags::CONVDEADLK | LockFlags::NOQUEUE;
        assert!(conversion(Mode::Pr, Mode::Ex, both).is_err());
        for (flag, _) in REQUESTS_ONLY {
            assert!(conversion(Mode::Pr, Mode::Ex, convert | flag).is_err());
        }
    }
}
