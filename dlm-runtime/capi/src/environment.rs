//! The variables of the environment.
//!
//! A program that has more privileges than who started it (set-uid and set-gid programs, those with
//! file capabilities) does as if nothing was said.

use std::ffi::OsString;
use std::sync::OnceLock;

use dlm_runtime::driver::KeepApart;
use libc::ENOTSUP;

use crate::errno::Errno;

const NEW_REQUESTS: &str = "DLM_CONCURRENT_NEW_REQUESTS";

/// The value of a variable, if the program may trust whoever has set it.
pub(crate) fn trusted(variable: &str) -> Option<OsString> {
    // SAFETY: reads a word that the kernel has given to the process at its start.
    let is_privileged = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
    if is_privileged { None } else { std::env::var_os(variable) }
}

/// Whether requests for new locks are kept apart where the kernel needs it
/// (#two-resources-of-one-name): a program that takes care of that itself does without. Read once.
/// ENOTSUP: the value is neither.
pub(crate) fn keep_apart() -> Result<KeepApart, Errno> {
    static KEEP_APART: OnceLock<Option<KeepApart>> = OnceLock::new();
    let choice = KEEP_APART.get_or_init(|| {
        let value = trusted(NEW_REQUESTS);
        named(value.unwrap_or_default().as_encoded_bytes())
    });
    choice.ok_or(Errno(ENOTSUP))
}

fn named(value: &[u8]) -> Option<KeepApart> {
    match value {
        b"" | b"0" => Some(KeepApart::AsNeeded),
        b"1" => Some(KeepApart::Never),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_requests_are_kept_apart_unless_somebody_says_1() {
        for (value, choice) in [
            ("", Some(KeepApart::AsNeeded)),
            ("0", Some(KeepApart::AsNeeded)),
            ("1", Some(KeepApart::Never)),
            ("yes", None),
            ("1 ", None),
        ] {
            assert_eq!(named(value.as_bytes()), choice, "{value:?}");
        }
    }
}
