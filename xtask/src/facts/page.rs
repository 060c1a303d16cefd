//! The page that tells which tests show a fact.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::account::{Fact, PAGES};
use super::cite::{Found, Verb};

const HEAD: &str = "\
Which tests show what the account of the kernel says.

`cargo xtask facts` makes this page from the account and from the tests, and `cargo xtask test NAME` runs
a test by its name. Names that end in `.dlm` are scenarios in `tests/scenarios`; these and the tests on
a kernel run on Linux 6.1 and 6.12. *Guarded* means: by tests that show that a program which uses this
library does not meet the hazard, or that the monitor `dlm_engine::strict` refuses it. What crashes a
kernel is not shown, but guarded.
";

pub(super) fn page(facts: &[Fact], found: &[Found]) -> String {
    let mut page = HEAD.to_owned();
    for (file, path) in PAGES {
        let title = path.rsplit("::").next().unwrap_or_default();
        let _ = write!(page, "\n# {title}\n\n| fact | shown by | guarded by |\n|---|---|---|\n");
        for fact in facts.iter().filter(|fact| fact.file == file) {
            let Fact { title, anchor, not_shown, .. } = fact;
            let shown = match not_shown {
                Some(reason) => format!("*not shown: {reason}*"),
                None => tests(found, anchor, Verb::Shows),
            };
            let guarded = tests(found, anchor, Verb::Guards);
            let _ = writeln!(page, "| [{title}]({path}#{anchor}) | {shown} | {guarded} |");
        }
    }
    page
}

fn tests(found: &[Found], anchor: &str, verb: Verb) -> String {
    let tests = found.iter().filter(|it| it.anchor == anchor && it.is(verb));
    let names: BTreeSet<_> = tests.filter_map(|it| it.test.as_ref()).map(|test| &test.0).collect();
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
