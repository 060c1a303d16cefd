//! A driver's own data in a core, which notices if the core drops it while it is called.

use std::cell::Cell;

std::thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Calls a core. What is kept in it must not be dropped meanwhile.
pub(crate) fn inside<T>(call: impl FnOnce() -> T) -> T {
    INSIDE.set(true);
    let answer = call();
    INSIDE.set(false);
    answer
}

/// What is kept for an operation. Its drop is foreign code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Owner(pub(crate) u32);

impl Drop for Owner {
    fn drop(&mut self) {
        assert!(!INSIDE.get() || std::thread::panicking(), "{self:?} is dropped in the core");
    }
}

/// The data kept for a lock. The drop of one that was made is foreign code.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Face(pub(crate) Option<u32>);

impl Drop for Face {
    fn drop(&mut self) {
        let is_foreign = self.0.is_some() && INSIDE.get() && !std::thread::panicking();
        assert!(!is_foreign, "{self:?} is dropped in the core");
    }
}
