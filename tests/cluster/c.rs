//! A program in C on several nodes, with our library and with Debian's, beside one in Rust.

use super::{libraries, on_three, peer};
use anyhow::{Context, Result, ensure};
use dlm_lab::cluster::{Cluster, Peer};
use dlm_lab::vm::apt::output;
use dlm_lab::vm::store::workspace_root;
use dlm_lab::vm::{Command, unpacked};
use std::fs;
use std::path::PathBuf;

/// Where the program and the libraries are in the guests.
const FOLDER: &str = "/c";
const LIBRARY: &str = "libdlm_lt.so.3";
const SIGKILL: i32 = 9;

/// The program, compiled as for Debian's library, and a folder with each library.
fn make() -> Result<PathBuf> {
    let folder = workspace_root().join("target/cluster-c");
    let debian = unpacked::libdlm()?.join("usr");
    let theirs = debian.join("lib/x86_64-linux-gnu");
    let ours = libraries();
    for (name, from) in [("debian", theirs.as_path()), ("ours", ours.as_path())] {
        fs::create_dir_all(folder.join(name))?;
        fs::copy(from.join(LIBRARY), folder.join(name).join(LIBRARY))
            .with_context(|| format!("no {LIBRARY} in {}", from.display()))?;
    }
    let mut compiler = std::process::Command::new("cc");
    compiler.args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-I"]);
    compiler.arg(debian.join("include")).arg("-o").arg(folder.join("node"));
    compiler.arg(workspace_root().join("tests/cluster/node.c"));
    output(compiler.arg("-L").arg(theirs).args(["-ldlm_lt", "-pthread"]))?;
    Ok(folder)
}

/// The program on a node, with one of the libraries.
fn program(cluster: &Cluster, node: u8, library: &str, resource: &str) -> Result<Peer> {
    let command = Command::new(format!("{FOLDER}/node")).args(["tests", resource]);
    let command = command.env("LD_LIBRARY_PATH", format!("{FOLDER}/{library}"));
    let peer = Peer::start(cluster, node, &command)?;
    peer.expect("ready")?;
    Ok(peer)
}

/// What happens to locks and value block does not depend on which library is where.
fn across(cluster: &Cluster, rust: &Peer, libraries: [&str; 2]) -> Result<()> {
    let resource = &libraries.concat();
    let one = program(cluster, 1, libraries[0], resource)?;
    let two = program(cluster, 2, libraries[1], resource)?;
    rust.ask(&format!("lock keep {resource} NL lvb"), "keep granted NL")?;
    one.ask("lock EX", "lock: granted [] valid")?;
    two.say("lock PR")?;
    one.expect("blocks")?;
    ensure!(!two.has_said("lock"), "granted beside EX");
    one.ask("convert NL hello", "convert: granted [hello] valid")?;
    two.expect("lock: granted [hello] valid")?;
    one.say("convert EX")?;
    two.expect("blocks")?;
    two.ask("unlock", "unlock: EUNLOCK")?;
    one.expect("convert: granted [hello] valid")?;
    // A holder that is killed.
    rust.say(&format!("lock c {resource} EX lvb"))?;
    one.expect("blocks")?;
    one.signal(SIGKILL)?;
    rust.expect("c granted EX [hello] invalid")?;
    two.say("lock PR")?;
    rust.expect("c blocks PR")?;
    rust.ask("convert c NL write=again", "c converted NL")?;
    two.expect("lock: granted [again] valid")?;
    rust.ask("drop", "drop ok")?;
    Ok(())
}

#[test]
#[ignore = "needs virtual machines"]
fn programs_in_c_share_locks_across_nodes_whatever_library_they_have() {
    let folder = make().unwrap();
    on_three(|cluster| {
        cluster.add_dir(&folder, FOLDER.as_ref())?;
        let rust = peer(cluster, 3)?;
        across(cluster, &rust, ["ours", "debian"])?;
        across(cluster, &rust, ["debian", "ours"])
    });
}
