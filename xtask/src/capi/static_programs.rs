//! Static C programs, linked with our archives.

use anyhow::Result;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as HostCommand;

use super::Row;
use super::link::LIBRARIES;
use dlm_lab::vm::apt::output;
use dlm_lab::vm::store::workspace_root;
use dlm_lab::vm::{Command, Vm};

/// The programs: their names, and their sources in tests/c. The last becomes set-uid and shows
/// which lock manager it gets then.
const SOURCES: [(&str, &str); 2] = [("locks", "static/locks.c"), ("setuid", "static/setuid.c")];

/// Where they are in the guest.
const FOLDER: &str = "/static";

/// What a file needs of the linker that has no use for all of the archive.
const FLAGS: [&str; 6] = ["-std=gnu11", "-Os", "-Wall", "-Wextra", "-Werror", "-static"];

/// The programs, for each library.
#[derive(Debug)]
pub(super) struct StaticPrograms {
    folder: PathBuf,
    /// Each with its size.
    programs: Vec<(String, u64)>,
}

impl StaticPrograms {
    pub(super) fn build(ours: &Path) -> Result<Self> {
        let folder = ours.join("static");
        fs::create_dir_all(&folder)?;
        let mut programs = Vec::new();
        for library in LIBRARIES {
            for (name, source) in SOURCES {
                let name = format!("{library}-{name}");
                let program = folder.join(&name);
                let mut compiler = HostCommand::new("cc");
                compiler.args(FLAGS).args(["-s", "-Wl,--gc-sections"]);
                if library == LIBRARIES[0] {
                    compiler.args(["-D_REENTRANT", "-DTHREADED"]);
                }
                compiler.arg("-I").arg(workspace_root().join("tests/c"));
                compiler.arg("-I").arg(workspace_root().join("dlm-runtime/capi/include"));
                compiler.arg("-o").arg(&program);
                compiler.arg(workspace_root().join("tests/c").join(source));
                compiler.arg(ours.join(format!("{library}.a")));
                output(compiler.args(["-lpthread", "-ldl", "-lm"]))?;
                programs.push((name, fs::metadata(program)?.len()));
            }
        }
        Ok(Self { folder, programs })
    }

    /// Runs them on a kernel. The engine is what they are told to use: the first does, and the other
    /// does not when it is privileged.
    pub(super) fn run(&self, vm: &Vm) -> Result<Vec<Row>> {
        vm.put_dir(&self.folder, FOLDER)?;
        let mut rows = Vec::new();
        for (name, size) in &self.programs {
            let command = Command::new(format!("{FOLDER}/{name}"));
            let output = vm.capture(&command)?;
            let stderr = String::from_utf8_lossy(&output.stderr);
            let complaint = (!output.exit.success()).then(|| format!("{}\n{stderr}", output.exit));
            let note = format!("static, {size} bytes");
            rows.push(Row { what: format!("{name} on {}", vm.kernel()), complaint, note });
        }
        Ok(rows)
    }
}
