//! The contestants, and their programs.

use dlm_lab::vm::Command;

/// Where the programs are in the guest.
pub(super) const FOLDER: &str = "/bench";

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Library {
    /// Nothing but the writes and reads of the C library, of records that were encoded before.
    Floor,
    /// The same with the system calls of dlm-sys.
    FloorInline,
    /// As the floor, with the device in an epoll set.
    FloorWatched,
    /// With dlm-sys, and dlm-proto for each record.
    Sys,
    Runtime,
    /// With first requests kept apart.
    RuntimeGuarded,
    /// With first requests not kept apart, whatever the kernel needs.
    RuntimeUnguarded,
    /// C, without threads.
    LibdlmLt,
    /// C, which needs its thread to wait for a lock.
    Libdlm,
    /// The same program with our libdlm_lt.
    CapiLt,
    /// The same, with first requests not kept apart.
    CapiLtUnguarded,
    /// The same program with our libdlm.
    Capi,
}

impl Library {
    pub(super) const ALL: [Self; 12] = [
        Self::Floor,
        Self::FloorInline,
        Self::FloorWatched,
        Self::Sys,
        Self::Runtime,
        Self::RuntimeGuarded,
        Self::RuntimeUnguarded,
        Self::LibdlmLt,
        Self::CapiLt,
        Self::CapiLtUnguarded,
        Self::Libdlm,
        Self::Capi,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::FloorInline => "floor-inline",
            Self::FloorWatched => "floor-watched",
            Self::Sys => "dlm-sys",
            Self::Runtime => "dlm-runtime",
            Self::RuntimeGuarded => "dlm-runtime-guarded",
            Self::RuntimeUnguarded => "dlm-runtime-unguarded",
            Self::LibdlmLt => "libdlm_lt",
            Self::Libdlm => "libdlm",
            Self::CapiLt => "our-libdlm_lt",
            Self::CapiLtUnguarded => "our-libdlm_lt-unguarded",
            Self::Capi => "our-libdlm",
        }
    }

    pub(super) const fn is_c(self) -> bool {
        matches!(self, Self::LibdlmLt | Self::Libdlm)
    }

    /// The command that prints what so many pairs cost.
    pub(super) fn command(self, row: &str, count: u32) -> Command {
        self.command_behind(&[], row, count)
    }

    /// The same behind the words of a program that runs it.
    pub(super) fn command_behind(self, words: &[&str], row: &str, count: u32) -> Command {
        let program = match self {
            Self::LibdlmLt | Self::CapiLt | Self::CapiLtUnguarded => "libdlm_lt",
            Self::Libdlm | Self::Capi => "libdlm",
            _ => "locks",
        };
        let is_rust = program == "locks";
        let (program, count) = (format!("{FOLDER}/{program}"), count.to_string());
        let mut all = Vec::from(words);
        all.push(&program);
        if is_rust {
            all.push(self.name());
        }
        all.extend([row, &count]);
        let (first, others) = all.split_first().map_or(("", &[][..]), |(word, rest)| (*word, rest));
        let command = Command::new(first).args(others);
        let with_ours = |command: Command| command.env("LD_LIBRARY_PATH", format!("{FOLDER}/capi"));
        match self {
            Self::CapiLt | Self::Capi => with_ours(command),
            Self::CapiLtUnguarded => with_ours(command).env("DLM_CONCURRENT_NEW_REQUESTS", "1"),
            _ => command,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_names_the_program_the_library_and_the_row() {
        let line = |library: Library, words: &[&str]| library.command_behind(words, "x", 7).line();
        assert_eq!(line(Library::Runtime, &[]), "/bench/locks dlm-runtime x 7");
        assert_eq!(line(Library::CapiLt, &["strace", "-c"]), "strace -c /bench/libdlm_lt x 7");
        assert_eq!(Library::Floor.command("y", 8).line(), "/bench/locks floor y 8");
    }
}
