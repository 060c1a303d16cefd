//! Which flags a request may carry. What is refused here is refused by the kernel, does nothing,
//! or does harm (KERNEL: 6.1 and 6.12; "harm" from a refused warning to a lock that nobody can
//! release any more).

use dlm_proto::{LockFlags, Mode};

/// A set of flags, and why it may not be given.
type Ban = (LockFlags, &'static str);

const NEVER: [Ban; 6] = [
    (LockFlags::CANCEL, "CANCEL belongs to Lock::cancel"),
    (LockFlags::CONVERT, "CONVERT belongs to Lock::convert"),
    (LockFlags::FORCEUNLOCK, "FORCEUNLOCK on a lock request leaves a lock that cannot be released"),
    (LockFlags::ORPHAN, "the adoption of an orphan is no lock request: no completion follows"),
    (
        LockFlags::PERSISTENT,
        "a persistent lock would outlive its handle, and crash the kernel if it is purged waiting",
    ),
    (LockFlags::IVVALBLK, "IVVALBLK on a lock request would invalidate the value block at unlock"),
];

const IGNORED: [Ban; 3] = [
    (LockFlags::TIMEOUT, "kernels since 6.2 ignore TIMEOUT"),
    (LockFlags::NODLCKBLK, "kernels ignore NODLCKBLK"),
    (LockFlags::WAIT, "WAIT is private to C libdlm"),
];

const CONVERSIONS_ONLY: [Ban; 3] = [
    (LockFlags::QUECVT, "QUECVT belongs to conversions"),
    (LockFlags::CONVDEADLK, "CONVDEADLK belongs to conversions"),
    (LockFlags::NODLCKWT, "NODLCKWT belongs to conversions"),
];

const REQUESTS_ONLY: [Ban; 3] = [
    (LockFlags::EXPEDITE, "EXPEDITE belongs to new requests"),
    (LockFlags::ALTPR, "ALTPR on a conversion leaves the granted mode unknown"),
    (LockFlags::ALTCW, "ALTCW on a conversion leaves the granted mode unknown"),
];

/// Checks the flags of a new request.
#[inline]
pub(crate) fn check_request(mode: Mode, flags: LockFlags) -> Result<(), &'static str> {
    if flags.is_empty() { Ok(()) } else { check_request_flags(mode, flags) }
}

fn check_request_flags(mode: Mode, flags: LockFlags) -> Result<(), &'static str> {
    check_common(flags)?;
    banned(flags, &CONVERSIONS_ONLY)?;
    if flags.contains(LockFlags::EXPEDITE) {
        if mode != Mode::Nl {
            return Err("EXPEDITE grants NL only");
        }
        if flags.contains(LockFlags::NOQUEUE) {
            return Err("EXPEDITE is granted at once, NOQUEUE has no place beside it");
        }
    }
    Ok(())
}

/// Checks the flags of a conversion.
pub(crate) fn check_convert(from: Mode, to: Mode, flags: LockFlags) -> Result<(), &'static str> {
    check_common(flags - LockFlags::CONVERT)?;
    banned(flags, &REQUESTS_ONLY)?;
    if flags.contains(LockFlags::CONVDEADLK | LockFlags::NOQUEUE) {
        return Err("CONVDEADLK needs a conversion that may wait, NOQUEUE forbids that");
    }
    if flags.contains(LockFlags::QUECVT) && !from.allows_quecvt(to) {
        return Err("QUECVT is for conversions to a stronger mode or between CW and PR");
    }
    Ok(())
}

fn check_common(flags: LockFlags) -> Result<(), &'static str> {
    banned(flags, &NEVER)?;
    banned(flags, &IGNORED)?;
    if flags.contains(LockFlags::NOQUEUEBAST) && !flags.contains(LockFlags::NOQUEUE) {
        return Err("NOQUEUEBAST does nothing without NOQUEUE");
    }
    if flags.iter_names().map(|(_, flag)| flag).collect::<LockFlags>() != flags {
        return Err("no kernel knows all of these flag bits");
    }
    Ok(())
}

fn banned(flags: LockFlags, bans: &[Ban]) -> Result<(), &'static str> {
    match bans.iter().find(|(flag, _)| flags.contains(*flag)) {
        Some((_, reason)) => Err(reason),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_own_reason() {
        let flags = LockFlags::NOQUEUE | LockFlags::NOQUEUEBAST | LockFlags::HEADQUE;
        assert_eq!(check_request(Mode::Ex, flags), Ok(()));
        assert_eq!(check_request(Mode::Nl, LockFlags::EXPEDITE), Ok(()));
        let mut reasons = Vec::new();
        for flag in NEVER.iter().chain(&IGNORED).chain(&CONVERSIONS_ONLY).map(|ban| ban.0) {
            reasons.push(check_request(Mode::Ex, flag).unwrap_err());
        }
        reasons.push(check_request(Mode::Ex, LockFlags::NOQUEUEBAST).unwrap_err());
        reasons.push(check_request(Mode::Ex, LockFlags::EXPEDITE).unwrap_err());
        let both = LockFlags::EXPEDITE | LockFlags::NOQUEUE;
        reasons.push(check_request(Mode::Nl, both).unwrap_err());
        reasons.push(check_request(Mode::Ex, LockFlags::from_bits_retain(1 << 25)).unwrap_err());
        let count = reasons.len();
        reasons.sort_unstable();
        reasons.dedup();
        assert_eq!(reasons.len(), count);
    }

    #[test]
    fn conversions_take_what_belongs_to_them() {
        let convert = LockFlags::CONVERT;
        assert_eq!(check_convert(Mode::Nl, Mode::Ex, convert | LockFlags::QUECVT), Ok(()));
        assert_eq!(check_convert(Mode::Pr, Mode::Cw, convert | LockFlags::QUECVT), Ok(()));
        assert!(check_convert(Mode::Ex, Mode::Pr, convert | LockFlags::QUECVT).is_err());
        assert!(check_convert(Mode::Pr, Mode::Pr, convert | LockFlags::QUECVT).is_err());
        let both = convert | LockFlags::CONVDEADLK | LockFlags::NOQUEUE;
        assert!(check_convert(Mode::Pr, Mode::Ex, both).is_err());
        for (flag, _) in REQUESTS_ONLY {
            assert!(check_convert(Mode::Pr, Mode::Ex, convert | flag).is_err());
        }
    }
}
