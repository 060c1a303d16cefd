//! The examples of dlm-runtime, as their users run them. `cargo xtask test` puts them beside this
//! program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::finish;

const FOLDER: &str = "/examples";

/// The examples that run without arguments, each with the line that it ends with.
const SHOWS: [(&str, &str); 17] = [
    ("adopt", "adopted 2 orphans, purged the rest"),
    ("cache", "no reader ever saw an old value"),
    ("delivery_thread", "done"),
    ("demo", "releases the lockspace; nothing is left behind"),
    ("election", "8 terms, none of them twice"),
    ("error_decisions", "done"),
    ("handover", "units in 8 turns: as if one had done them all"),
    ("key_value", "nothing that was flushed is lost, and what is lost was told"),
    ("mio_loop", "done"),
    ("no_std_transport", "two clients have counted to 10 in turns"),
    ("poll_dispatch", "done"),
    ("record_replay", "the replay was the same, without a lock manager"),
    ("service", "nothing is left behind"),
    ("simulated_faults", "no number lost or used twice"),
    ("stream_cache", "no reader ever knew an old value"),
    ("tokio_tasks", "nothing is left behind"),
    ("upgrade", "25 volumes have one owner each"),
];

fn example(name: &str) -> PathBuf {
    let path = Path::new(FOLDER).join(name);
    assert!(path.exists(), "no {}: cargo xtask test puts it there, in a VM", path.display());
    path
}

/// Runs an example, which must succeed, and returns the last line of its output.
fn show(name: &str) -> String {
    let output = finish(Command::new(example(name)));
    let (text, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {}\n{text}{errors}", output.status);
    assert_eq!(errors, "");
    text.lines().next_back().unwrap_or_default().to_owned()
}

fn check(name: &str) {
    let (_, wanted) = SHOWS.iter().find(|(shown, _)| *shown == name).unwrap();
    let last = show(name);
    assert!(last.ends_with(wanted), "{name} ended with {last:?}");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn every_example_is_tested_here() {
    let mut tested: Vec<_> = SHOWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    tested.sort_unstable();
    let entries = fs::read_dir(FOLDER).unwrap();
    let mut found: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, tested);
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn adopt_finds_the_locks_of_a_killed_process() {
    check("adopt");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn cache_is_never_stale() {
    for _ in 0..5 {
        check("cache");
    }
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn delivery_thread_delivers() {
    check("delivery_thread");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn demo_changes_hands() {
    check("demo");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn election_counts_each_term_once() {
    // The candidates' requests are the first for the resource, and come at once: right on kernels
    // since 6.10 because the example serialises them.
    for _ in 0..5 {
        check("election");
    }
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn handover_loses_no_work() {
    for _ in 0..5 {
        check("handover");
    }
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn key_value_loses_nothing_that_was_flushed() {
    check("key_value");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn poll_dispatch_dispatches() {
    check("poll_dispatch");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn tokio_tasks_leave_nothing_behind() {
    for _ in 0..5 {
        check("tokio_tasks");
    }
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn error_decisions_are_as_the_errors() {
    check("error_decisions");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn mio_loop_gives_way() {
    check("mio_loop");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn no_std_transport_counts() {
    check("no_std_transport");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn record_replay_is_the_same() {
    check("record_replay");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn service_stops() {
    check("service");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn simulated_faults_lose_nothing() {
    check("simulated_faults");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn stream_cache_is_never_stale() {
    check("stream_cache");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn upgrade_takes_each_once() {
    check("upgrade");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn those_that_are_programs_explain_themselves() {
    for name in ["adopt", "cache", "election", "handover", "key_value", "tokio_tasks"] {
        let mut command = Command::new(example(name));
        command.arg("--help");
        let output = finish(command);
        assert!(output.status.success());
        assert!(output.stdout.starts_with(format!("usage: {name}").as_bytes()), "{output:?}");
        let mut command = Command::new(example(name));
        command.arg("--nonsense");
        let output = finish(command);
        assert_eq!(output.status.code(), Some(1));
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.starts_with(&format!("{name}: ")), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
}
