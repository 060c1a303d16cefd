//! The C libraries: beside Debian's on this machine, and under C programs on the kernels.

use super::tally::Tally;
use crate::capi::{self, Row};

pub(super) fn run(on_host: bool, kernels: &[&str], tally: &mut Tally) {
    println!("=== C libraries: cargo xtask capi");
    let mut report = |row: &Row| {
        print!("{row}");
        tally.check(&row.what, row.complaint.is_none());
    };
    if let Err(error) = capi::check(on_host, kernels, None, &mut report) {
        println!("{error:#}");
        tally.fail(format!("C libraries: {error}"));
    }
}
