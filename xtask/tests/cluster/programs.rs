//! Programs of users, on several nodes.

use super::{DLMLOCK_BUILD, built, on_three};
use anyhow::{Result, ensure};
use xtask::cluster::{Cluster, Peer};
use xtask::vm::Command;

const DLMLOCK: &str = "/bin/dlmlock";

/// dlmlock on a node, with a script that it runs.
fn dlmlock(cluster: &Cluster, node: u8, options: &[&str], script: &str) -> Result<Peer> {
    let command = Command::new(DLMLOCK).args(options).args(["r", "--", "sh", "-c", script]);
    Peer::start(cluster, node, &command)
}

/// Runs until its input ends.
const HOLD: &str = "echo begins; read -r line; echo ends";

#[test]
#[ignore = "needs virtual machines"]
fn dlmlock_runs_one_command_at_a_time_on_all_nodes() {
    on_three(|cluster| {
        cluster.add_program(&built("dlmlock", DLMLOCK_BUILD), DLMLOCK.as_ref())?;
        let one = dlmlock(cluster, 1, &[], HOLD)?;
        one.expect("begins")?;
        let busy = dlmlock(cluster, 2, &["-n", "-E", "9"], "echo begins")?;
        busy.expect("(exit status 9)")?;
        let impatient = dlmlock(cluster, 2, &["-w", "0.5", "-E", "8"], "echo begins")?;
        impatient.expect("(exit status 8)")?;
        let two = dlmlock(cluster, 2, &[], HOLD)?;
        let three = dlmlock(cluster, 3, &["-s"], "echo begins")?;
        one.ask("go on", "ends")?;
        one.expect("(exit status 0)")?;
        two.expect("begins")?;
        ensure!(!three.has_said("begins"), "shared beside exclusive");
        // The kernel drops the lock of one that is killed.
        two.signal(9)?;
        three.expect("begins")?;
        three.expect("(exit status 0)")?;
        ensure!(!busy.has_said("begins") && !impatient.has_said("begins"), "ran without the lock");
        Ok(())
    });
}
