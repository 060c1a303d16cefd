//! The choice of what to measure.

use std::ffi::OsString;

use super::library::Library;
use super::race::Row;
use super::{CODEC, ENGINE, cache, cluster, guest, waits};
use dlm_lab::vm::{VmOptions, kernels};

/// What to measure.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) kernel: String,
    pub(super) quick: bool,
    /// Empty: all.
    rows: Vec<String>,
    /// Empty: all.
    libraries: Vec<Library>,
}

impl Choice {
    pub(super) fn has(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|chosen| chosen == row)
    }

    /// The libraries of a row that are wanted, and its floor, to which they are compared.
    pub(super) fn libraries_of(&self, row: &Row) -> Vec<Library> {
        let has = |&library: &Library| {
            let all = self.libraries.is_empty() || library == Library::Floor;
            all || self.libraries.contains(&library)
        };
        row.libraries.iter().copied().filter(has).collect()
    }

    /// `None` when help was asked for.
    pub(super) fn parse(arguments: Vec<OsString>) -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::*;
        let mut parser = lexopt::Parser::from_args(arguments);
        let kernel = VmOptions::default().kernel;
        let mut choice = Self { kernel, quick: false, rows: Vec::new(), libraries: Vec::new() };
        while let Some(argument) = parser.next()? {
            match argument {
                Short('h') | Long("help") => return Ok(None),
                Long("kernel") => choice.kernel = kernels::named(&parser.value()?.string()?)?,
                Long("quick") => choice.quick = true,
                Long("only") => choice.add(parser.value()?.string()?)?,
                other => return Err(other.unexpected()),
            }
        }
        Ok(Some(choice))
    }

    fn add(&mut self, name: String) -> Result<(), String> {
        let on_cluster = cluster::rows;
        let alone = [CODEC, ENGINE, waits::ROW, cache::ROW];
        let mut rows = guest::ROWS.iter().map(|row| row.name).chain(alone).chain(on_cluster());
        if let Some(library) = Library::ALL.into_iter().find(|library| library.name() == name) {
            self.libraries.push(library);
        } else if name == cluster::ALL {
            self.rows.extend(on_cluster().map(str::to_owned));
        } else if rows.any(|row| row == name) {
            self.rows.push(name);
        } else {
            return Err(format!("no row and no library is called {name}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::USAGE;

    fn parse(words: &str) -> Result<Option<Choice>, lexopt::Error> {
        Choice::parse(words.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn what_to_measure_can_be_chosen() {
        let all = parse("").unwrap().unwrap();
        assert_eq!((all.kernel.as_str(), all.quick), ("6.1", false));
        assert!(all.has(CODEC) && all.has(ENGINE) && all.has("in-flight"));
        let some = parse("--quick --kernel 6.12 --only in-flight").unwrap().unwrap();
        assert_eq!((some.kernel.as_str(), some.quick), ("6.12", true));
        assert!(some.has("in-flight") && !some.has(CODEC));
        let cluster = parse("--only cluster").unwrap().unwrap();
        assert!(cluster.has("handover") && cluster.has("cross-node") && !cluster.has("blocking"));
        assert!(parse("--help").unwrap().is_none());
        for bad in ["--kernel 9", "--slow", "--only walk", "blocking"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_chosen_library_comes_with_the_floor() {
        let row = guest::ROWS.iter().find(|row| row.name == "blocking").unwrap();
        let of = |words| parse(words).unwrap().unwrap().libraries_of(row);
        assert_eq!(of("--only blocking"), row.libraries);
        assert_eq!(of("--only dlm-runtime"), [Library::Floor, Library::Runtime]);
    }

    #[test]
    fn every_row_and_every_library_is_explained() {
        let rows = guest::ROWS.iter().map(|row| row.name).chain(cluster::rows());
        let rows = rows.chain([CODEC, ENGINE, waits::ROW, cache::ROW]);
        let libraries = Library::ALL.into_iter().map(Library::name);
        for name in rows.chain(libraries) {
            assert!(USAGE.contains(&format!("\n    {name} ")), "{name}");
        }
    }
}
