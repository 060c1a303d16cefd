//! Commands for the guest and how they end.

use dlm_guest::wire::{Outcome, Spawn};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a command's input comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// There is none.
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// Standard input of this process. What is read ahead is lost when the command ends, so only
    /// one command of a process should have it.
    Inherit,
}

/// A command to run in the guest.
#[derive(Debug, Clone)]
pub struct Command {
    argv: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    cwd: PathBuf,
    pub(crate) input: Input,
    pub(crate) limit: Option<Duration>,
}

impl Command {
    /// A command without arguments and input, in the folder `/`.
    #[must_use]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            argv: vec![program.as_ref().to_owned()],
            env: vec![
                ("PATH".into(), "/usr/local/bin:/usr/bin".into()),
                ("HOME".into(), "/root".into()),
            ],
            cwd: "/".into(),
            input: Input::Empty,
            limit: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.argv.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.retain(|(have, _)| have != name.as_ref());
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the folder it runs in.
    #[must_use]
    pub fn cwd(mut self, folder: impl AsRef<Path>) -> Self {
        self.cwd = folder.as_ref().to_owned();
        self
    }

    /// Sets where its input comes from.
    #[must_use]
    pub fn input(mut self, input: Input) -> Self {
        self.input = input;
        self
    }

    /// Sets a time limit of its own; without one, that of the machine holds.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The command line, for messages.
    #[must_use]
    pub fn line(&self) -> String {
        self.argv.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn has_env(&self, name: &str) -> bool {
        self.env.iter().any(|(have, _)| have == name)
    }

    pub(crate) fn to_wire(&self) -> Spawn {
        let bytes = |word: &OsString| word.as_bytes().to_vec();
        Spawn {
            argv: self.argv.iter().map(bytes).collect(),
            env: self.env.iter().map(|(n, v)| (bytes(n), bytes(v))).collect(),
            cwd: self.cwd.as_os_str().as_bytes().to_vec(),
            fed: self.input != Input::Empty,
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this status.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It could not be started: errno and text.
    NotStarted(i32, String),
}

impl Exit {
    /// Whether it exited with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        *self == Self::Code(0)
    }

    /// The status a shell would report.
    #[must_use]
    pub fn shell_code(&self) -> u8 {
        const ENOENT: i32 = 2;
        let code = match self {
            Self::Code(code) => *code,
            Self::Signal(number) => number.saturating_add(128),
            Self::NotStarted(ENOENT, _) => 127,
            Self::NotStarted(..) => 126,
        };
        u8::try_from(code).unwrap_or(u8::MAX)
    }
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Code(code) => Self::Code(code),
            Outcome::Signal(number) => Self::Signal(number),
            Outcome::NotStarted(errno, text) => Self::NotStarted(errno, text),
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(number) => write!(f, "killed by signal {number}"),
            Self::NotStarted(_, text) => write!(f, "not started: {text}"),
        }
    }
}

/// How a command ended and what it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_a_shell() {
        assert_eq!(Exit::Code(7).shell_code(), 7);
        assert_eq!(Exit::Signal(9).shell_code(), 137);
        assert_eq!(Exit::NotStarted(2, String::new()).shell_code(), 127);
        assert_eq!(Exit::NotStarted(13, String::new()).shell_code(), 126);
    }

    #[test]
    fn a_variable_set_twice_has_its_last_value() {
        let spawn = Command::new("x").env("HOME", "/a").env("HOME", "/b").to_wire();
        let homes: Vec<_> = spawn.env.iter().filter(|(name, _)| name == b"HOME").collect();
        assert_eq!(homes, [&(b"HOME".to_vec(), b"/b".to_vec())]);
    }
}
