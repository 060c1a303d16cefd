//! `dlm top` in a terminal, with its keys.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::Stdio;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};

mod common;
use common::program;

/// Milliseconds for what takes none.
const PATIENCE: u16 = 60_000;

/// Reads until this was shown.
fn expect(terminal: &mut File, wanted: &str) -> String {
    let mut shown = String::new();
    while !shown.contains(wanted) {
        let mut fds = [PollFd::new(terminal.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::from(PATIENCE)).unwrap(), 1, "{wanted}: {shown}");
        let mut bytes = [0; 4096];
        let count = terminal.read(&mut bytes).unwrap();
        shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    shown
}

#[test]
fn top_sorts_chooses_and_ends_by_keys() {
    let pty = openpty(None, None).unwrap();
    let (mut terminal, slave) = (File::from(pty.master), pty.slave);
    let is_raw = || !tcgetattr(&slave).unwrap().local_flags.contains(LocalFlags::ICANON);
    let end = || Stdio::from(slave.try_clone().unwrap());
    // Only keys make it show anything after the first look.
    let mut top = program()
        .args(["--engine", "top", "--interval", "3600"])
        .env("NO_COLOR", "1")
        .stdin(end())
        .stdout(end())
        .spawn()
        .unwrap();
    let first = expect(&mut terminal, "sort (by waiters)");
    assert!(first.contains("demo/disk0") && is_raw(), "{first}");
    terminal.write_all(b"s").unwrap();
    expect(&mut terminal, "sort (by longest wait)");
    terminal.write_all(b"/no such").unwrap();
    expect(&mut terminal, "with: no such_");
    terminal.write_all(b"\r").unwrap();
    let none = expect(&mut terminal, "with: no such (");
    assert!(none.contains("nobody waits for") && !none.contains("demo/disk0"), "{none}");
    terminal.write_all(b"\x1b").unwrap();
    let all = expect(&mut terminal, "/ choose by text");
    assert!(all.contains("demo/disk0"), "{all}");
    terminal.write_all(b"q").unwrap();
    assert!(top.wait().unwrap().success());
    assert!(!is_raw(), "the terminal is left as it was");
}
