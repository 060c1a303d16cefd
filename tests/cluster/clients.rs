//! Debian's own clients of libdlm, unmodified, on our library: lvmlockd, mdadm, ocfs2-tools.

use super::{TOOL, TOOL_BUILD, built, libraries, on_cluster};
use anyhow::{Context, Result, ensure};
use dlm_lab::cluster::{Cluster, Options};
use dlm_lab::vm::kernels;
use dlm_lab::vm::modules;
use dlm_lab::vm::store::{Store, workspace_root};
use dlm_lab::vm::unpacked::unpacked_from;
use dlm_lab::vm::{Command, VmOptions};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Where Debian's programs are in the guest.
const CLIENTS: &str = "/clients";
/// Where our library is in the guest.
const LIBRARY: &str = "/ours";
/// Where the modules and the script are in the guest.
const EXTRA: &str = "/extra";

/// The suite that the cluster's programs come from, too.
const SUITE: &str = "bookworm";

/// The clients, and the libraries of theirs that the cluster's programs do not have.
const PACKAGES: [&str; 19] = [
    "lvm2",
    "lvm2-lockd",
    "mdadm",
    "ocfs2-tools",
    "dmsetup",
    "libaio1",
    "libblkid1",
    "libbsd0",
    "libcom-err2",
    "libdevmapper-event1.02.1",
    "libdevmapper1.02.1",
    "libedit2",
    "libmd0",
    "libpcre2-8-0",
    "libreadline8",
    "libsanlock-client1",
    "libselinux1",
    "libtinfo6",
    "libudev1",
];

/// Folders of the packages that hold programs and libraries, not documents.
const NEEDED: [&str; 4] = ["sbin", "lib", "usr/sbin", "usr/lib"];

/// The kernel that `on_cluster` takes.
fn kernel() -> String {
    std::env::var("DLM_CLUSTER_KERNEL").unwrap_or_else(|_| VmOptions::default().kernel)
}

/// A fresh folder with modules, in the order to load them, and a script.
fn extra(script: &str, wanted: &[&str]) -> Result<PathBuf> {
    let folder = workspace_root().join("target/cluster-clients").join(script);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let from = workspace_root().join("tests/clients").join(script);
    fs::copy(&from, folder.join(script)).with_context(|| from.display().to_string())?;
    let store = Store::open()?;
    let kernel = kernels::fetch(&store, kernels::row(&kernel())?)?;
    let mut load = String::new();
    for module in modules::resolve(&kernel.modules(), wanted)? {
        let file = format!("{}.ko", module.name);
        fs::write(folder.join(&file), module.content)?;
        // Those that the guest has already are refused.
        writeln!(load, "insmod {EXTRA}/{file} 2> /dev/null || grep -q '^{} ' /proc/modules", {
            module.name
        })?;
    }
    fs::write(folder.join("load.sh"), format!("set -e\n{load}"))?;
    Ok(folder)
}

/// Puts Debian's clients and our library into the guest.
fn install(cluster: &Cluster) -> Result<()> {
    let packages = unpacked_from(SUITE, "cluster-clients", &PACKAGES)?;
    for part in NEEDED {
        let from = packages.join(part);
        if from.exists() {
            cluster.add_dir(&from, &Path::new(CLIENTS).join(part))?;
        }
    }
    let folder = workspace_root().join("target/cluster-clients/ours");
    fs::create_dir_all(&folder)?;
    let library = "libdlm_lt.so.3";
    fs::copy(libraries().join(library), folder.join(library))?;
    cluster.add_dir(&folder, LIBRARY.as_ref())
}

/// Runs a script of tests/clients, which must succeed and say so.
fn run(script: &'static str, wanted: &'static [&'static str]) {
    // First, as it is not the cluster's time.
    libraries();
    let tool = built("dlm", TOOL_BUILD);
    on_cluster(&Options { nodes: 1, ..Options::default() }, move |cluster| {
        install(cluster)?;
        cluster.add_dir(&extra(script, wanted)?, EXTRA.as_ref())?;
        cluster.add_program(&tool, TOOL.as_ref())?;
        cluster.sh(1, &format!("sh {EXTRA}/load.sh"))?;
        let libraries = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];
        let [lib, usr] = libraries.map(|folder| format!("{CLIENTS}/{folder}"));
        let command = Command::new("sh").arg(format!("{EXTRA}/{script}"));
        let path = format!("{LIBRARY}:{lib}:{usr}:/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu");
        let command = command.env("LD_LIBRARY_PATH", path);
        let command = command.env("CLIENTS", CLIENTS).env("LIBRARY", LIBRARY);
        let output = cluster.node(1)?.capture(&command)?;
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.exit.success() && said.contains("all as it should be"),
            "{script}: {}\n{said}{errors}",
            output.exit
        );
        Ok(())
    });
}

#[test]
#[ignore = "needs virtual machines"]
fn lvmlockd_of_debian_runs_on_our_library() {
    run("lvmlockd.sh", &["dm_mod", "loop"]);
}

#[test]
#[ignore = "needs virtual machines"]
fn mdadm_of_debian_runs_on_our_library() {
    run("mdadm.sh", &["raid1", "md_cluster", "loop"]);
}

#[test]
#[ignore = "needs virtual machines"]
fn ocfs2_tools_of_debian_run_on_our_library() {
    let modules = &["ocfs2_nodemanager", "ocfs2_stackglue", "ocfs2_stack_user", "loop"];
    run("ocfs2.sh", modules);
}
