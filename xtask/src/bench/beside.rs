//! Locks between nodes, by several libraries in one process, which take turns pair by pair.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::choice::Choice;
use super::library::{FOLDER, Library};
use super::race::{SECOND, numbers, printed};
use dlm_lab::vm::{Command, Vm};

/// The row.
pub(super) const ROW: &str = "cross-node";

/// Pairs of each library, of about two milliseconds.
const PAIRS: u32 = 3000;
const QUICK_PAIRS: u32 = 500;

/// The libraries, as `locks` calls them, and C first, to which they are compared.
const LIBRARIES: [Library; 3] = [Library::LibdlmLt, Library::Runtime, Library::CapiLt];

/// Measures and prints, and returns the rows for the file.
pub(super) fn run(vm: &Vm, choice: &Choice) -> Result<Vec<Value>> {
    let pairs = if choice.quick { QUICK_PAIRS } else { PAIRS };
    let kernel = vm.kernel();
    println!("{ROW}, Linux {kernel}: microseconds an operation, in turns, {pairs} pairs each");
    println!("{:21}{:>9}{:>9}{:>8}", "library", "median", "tenth", "to C");
    let command = Command::new(format!("{FOLDER}/locks")).args(["beside", &pairs.to_string()]);
    let printed = printed(vm, command)?;
    let times = |library: Library| {
        let times = numbers::<2>(&printed, library.name());
        times.with_context(|| format!("no {} in:\n{printed}", library.name()))
    };
    let [c, _] = times(Library::LibdlmLt)?;
    let mut rows = Vec::new();
    for library in LIBRARIES {
        let [median, tenth] = times(library)?;
        let [in_the_middle, low] = [median, tenth].map(|nanoseconds| nanoseconds / 1000.0);
        println!("{:21}{in_the_middle:9.1}{low:9.1}{:8.3}", library.name(), c / median);
        rows.push(json!({
            "row": ROW,
            "library": library.name(),
            "clock": "wall",
            "kernel": kernel,
            "ops_per_s": SECOND / median,
            "median_ns": median,
            "tenth_ns": tenth,
            "ratio_to_c": c / median,
        }));
    }
    println!();
    Ok(rows)
}
