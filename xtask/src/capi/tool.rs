//! Debian's `dlm_tool` on our library.

use anyhow::Result;
use std::fs;
use std::path::{Path, PathBuf};

use super::Row;
use dlm_lab::vm::unpacked::unpacked;
use dlm_lab::vm::{Command, Vm};

/// The program, and what it needs beside libdlm.
const PACKAGES: [&str; 2] = ["dlm-controld", "libdlmcontrol3"];

/// Joins and leaves, with what there is to see in between.
const SCRIPT: &str = "set -e; tool=/tool/dlm_tool
    $tool join -m 640 tooled; stat -c %a /dev/dlm_tooled
    $tool leave tooled; ! test -e /dev/dlm_tooled
    ! $tool leave tooled
    LD_DEBUG=bindings $tool join tooled 2>&1 | grep -c 'lib/libdlm.so.3 .*dlm_new_lockspace'
    $tool leave tooled";

/// What it prints.
const PRINTED: &str = "Joining lockspace \"tooled\" permission 640 \ndone\n640\n\
    Leaving lockspace \"tooled\"\ndone\nLeaving lockspace \"tooled\"\n1\n\
    Leaving lockspace \"tooled\"\ndone\n";

/// The program with its libraries, in a folder.
#[derive(Debug)]
pub(super) struct Tool {
    folder: PathBuf,
}

impl Tool {
    pub(super) fn fetch(ours: &Path) -> Result<Self> {
        let root = unpacked("dlm-tool", &PACKAGES)?;
        let folder = ours.join("tool");
        fs::create_dir_all(folder.join("lib"))?;
        fs::copy(root.join("usr/sbin/dlm_tool"), folder.join("dlm_tool"))?;
        let control = "libdlmcontrol.so.3";
        let libraries = root.join("usr/lib/x86_64-linux-gnu");
        fs::copy(libraries.join(control), folder.join("lib").join(control))?;
        fs::copy(ours.join("libdlm.so.3"), folder.join("lib/libdlm.so.3"))?;
        Ok(Self { folder })
    }

    /// Runs it on a kernel.
    pub(super) fn run(&self, vm: &Vm) -> Result<Row> {
        vm.add_dir(&self.folder, "/tool")?;
        let command = Command::new("sh").args(["-c", SCRIPT]);
        let output = vm.capture(&command.env("LD_LIBRARY_PATH", "/tool/lib"))?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        let good = output.exit.success() && stdout == PRINTED;
        let stderr = String::from_utf8_lossy(&output.stderr);
        let complaint = (!good).then(|| format!("{}\n{stdout}{stderr}", output.exit));
        let what = format!("Debian's dlm_tool joins and leaves on {}", vm.kernel());
        Ok(Row { what, complaint, note: String::new() })
    }
}
