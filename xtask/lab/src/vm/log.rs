//! The log of the guest's kernel, and its complaints.

/// A part of the kernel log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelLog {
    /// Lines with their time stamps.
    pub text: String,
    /// Where the next part begins.
    pub next: u64,
}

/// What a line of the kernel has when something is wrong in it: the beginnings of WARN, BUG and
/// oops reports, of its lock checker, and of the watchdogs for tasks and processors.
const COMPLAINTS: [&str; 16] = [
    "WARNING: ",
    "BUG: ",
    "BUG at ",
    "kernel BUG",
    "Oops",
    "Kernel panic",
    "general protection fault",
    "stack segment: ",
    "double fault",
    "invalid opcode: ",
    "divide error: ",
    "unable to handle ",
    "list_add corruption",
    "list_del corruption",
    "blocked for more than ",
    "detected stall",
];

impl KernelLog {
    /// Lines with which the kernel reports something wrong with itself.
    pub fn complaints(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter(|line| {
            COMPLAINTS.iter().any(|complaint| {
                line.match_indices(complaint).any(|(at, _)| {
                    // "DEBUG: " is no bug.
                    let before = line.get(..at).unwrap_or_default();
                    !before.ends_with(char::is_alphanumeric)
                })
            })
        })
    }

    /// Whether there are any.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.complaints().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_told_from_the_rest() {
        let log = KernelLog {
            text: "[    1.0] dlm: test: joining the lockspace group...\n\
                   [    2.0] WARNING: CPU: 0 PID: 9 at fs/dlm/lock.c:1 x+0x1\n\
                   [    2.1] Call Trace:\n\
                   [    3.0] BUG: kernel NULL pointer dereference, address: 0\n\
                   [    4.0] INFO: task cat:12 blocked for more than 120 seconds.\n\
                   [    5.0] kernel BUG at fs/dlm/user.c:7!\n"
                .into(),
            next: 6,
        };
        assert_eq!(log.complaints().count(), 4);
        assert!(!log.is_clean());
        let text = "[    1.0] DEBUG: nothing\n[    1.1] xBUG: nothing\n".into();
        assert!(KernelLog { text, next: 1 }.is_clean());
    }
}
