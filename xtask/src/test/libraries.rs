//! The C libraries: beside Debian's, and under C programs on dlm-engine and on the kernels.

use super::tally::Tally;
use crate::capi::{self, Host, Row};

pub(super) fn run(on_host: bool, kernels: &[&str], filter: Option<&str>, tally: &mut Tally) {
    println!("=== C libraries: cargo xtask capi");
    let mut report = |row: &Row| {
        print!("{row}");
        tally.check(&row.what, row.complaint.is_none());
    };
    let host = on_host.then_some(Host::Plain);
    if let Err(error) = capi::check(host, kernels, filter, &mut report) {
        println!("{error:#}");
        tally.fail(format!("C libraries: {error}"));
    }
}
