//! `cargo xtask abi`: the second witness for the layouts of dlm-proto, beside the assertions that
//! stand next to them there: the headers that the kernel installs.
//!
//! Only device version 6 has headers, for 64-bit and for 32-bit programs.

pub mod probe;
pub mod rows;

use anyhow::Result;
use dlm_proto::PointerWidth;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;

use probe::Answers;
use rows::Row;

/// How to use it.
pub const USAGE: &str = "\
usage: cargo xtask abi

Compares sizes, offsets and constants of dlm-proto with the installed kernel headers
(linux/dlm_device.h, linux/dlm.h, linux/dlmconstants.h), for 64-bit and 32-bit programs. The exit
status is 1 if they differ.
";

/// Constants of ours that need not be in the headers.
const OPTIONAL: [&str; 3] = [
    // Private to C libdlm.
    "DLM_LKF_WAIT",
    // Some kernels have these in headers of their own only.
    "DLM_LSFL_FS",
    "DLM_LSFL_TIMEWARN",
];

/// Constants of the headers that dlm-proto has no value for, on purpose.
const LEFT_OUT: [&str; 3] = [
    // Refused by every kernel.
    "DLM_USER_QUERY",
    // Inside the kernel: no mode.
    "DLM_LOCK_IV",
    // Never compared by anybody; requests carry 0.
    "DLM_DEVICE_VERSION_PATCH",
];

/// A number that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    what: String,
    header: Option<i64>,
    ours: i64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.header {
            Some(header) => {
                write!(f, "{}: the header has {header}, dlm-proto {}", self.what, self.ours)
            }
            None => write!(f, "{}: not in the header, dlm-proto has {}", self.what, self.ours),
        }
    }
}

/// Compares, prints what came out, and tells whether all agree. A compiler that has no 32-bit side
/// leaves that out, and says so.
///
/// # Errors
///
/// When the headers cannot be read.
pub fn check() -> Result<bool> {
    let mut good = true;
    for (width, bits) in [(PointerWidth::W64, 64), (PointerWidth::W32, 32)] {
        let rows = rows::rows(width);
        let answers = match probe::ask(width, &rows) {
            Err(error) if width == PointerWidth::W32 && !speaks_32_bit() => {
                println!("{bits}-bit: left out: {error:#}");
                continue;
            }
            answers => answers?,
        };
        let differences = differences(&rows, &answers);
        let constants = rows.iter().filter(|row| row.is_constant()).count();
        let places = rows.len() - constants;
        println!("{bits}-bit: {places} sizes and offsets, {constants} constants compared");
        for difference in &differences {
            println!("{bits}-bit: {difference}");
        }
        good &= differences.is_empty();
    }
    // News in the headers are to be looked at, but break nothing.
    for name in unknown(&rows::rows(PointerWidth::W64), probe::constants()?) {
        println!("note: {name} is in the headers and not in dlm-proto");
    }
    Ok(good)
}

/// Whether the compiler can make 32-bit programs at all.
fn speaks_32_bit() -> bool {
    probe::ask(PointerWidth::W32, &[]).is_ok()
}

fn differences(rows: &[Row], answers: &Answers) -> Vec<Difference> {
    let differs = |row: &Row| {
        let what = row.name();
        let header = answers.get(&what).copied();
        let absent = header.is_none() && OPTIONAL.contains(&what.as_str());
        let ours = row.ours;
        (!absent && header != Some(ours)).then_some(Difference { what, header, ours })
    };
    rows.iter().filter_map(differs).collect()
}

/// Constants of the headers that nothing of ours stands for.
fn unknown(rows: &[Row], constants: Vec<String>) -> Vec<String> {
    let ours: BTreeSet<_> = rows.iter().map(Row::name).collect();
    let known = |name: &String| ours.contains(name) || LEFT_OUT.contains(&name.as_str());
    constants.into_iter().filter(|name| !known(name)).collect()
}

/// Runs the subcommand.
///
/// # Errors
///
/// [`crate::Usage`] for wrong arguments; when the headers cannot be read.
#[expect(clippy::needless_pass_by_value, reason = "as all subcommands have it")]
pub fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    match arguments.first() {
        None => Ok(if check()? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        Some(word) if word == "--help" || word == "-h" => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        Some(word) => Err(crate::Usage::new(&format!("{}?", word.display()), USAGE).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a header would say that agrees with dlm-proto.
    fn agreeing(rows: &[Row]) -> Answers {
        rows.iter().map(|row| (row.name(), row.ours)).collect()
    }

    #[test]
    fn a_difference_names_the_field_and_both_numbers() {
        for (width, field) in [(PointerWidth::W64, 24), (PointerWidth::W32, 24)] {
            let rows = rows::rows(width);
            let mut answers = agreeing(&rows);
            assert_eq!(differences(&rows, &answers), []);
            answers.insert("offset dlm_lock_params.timeout".into(), field + 4);
            answers.remove("DLM_LKF_ORPHAN");
            answers.remove("DLM_LKF_WAIT");
            let shown: Vec<_> =
                differences(&rows, &answers).iter().map(ToString::to_string).collect();
            assert_eq!(
                shown,
                [
                    "offset dlm_lock_params.timeout: the header has 28, dlm-proto 24",
                    "DLM_LKF_ORPHAN: not in the header, dlm-proto has 16384",
                ]
            );
        }
    }

    #[test]
    fn news_in_a_header_are_found() {
        let rows = rows::rows(PointerWidth::W64);
        let header = ["DLM_LKF_NOQUEUE", "DLM_USER_QUERY", "DLM_LKF_NEW"].map(String::from);
        assert_eq!(unknown(&rows, header.to_vec()), ["DLM_LKF_NEW"]);
    }
}
