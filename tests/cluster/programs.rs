//! Programs of users, on several nodes.

use super::{ELECTION_BUILD, RECOVERY, TOOL, TOOL_BUILD, built, on_three};
use anyhow::{Context, Result, ensure};
use dlm_lab::cluster::{Cluster, Peer};
use dlm_lab::vm::Command;

/// `dlm lock` on a node, with a script that it runs.
fn lock(cluster: &Cluster, node: u8, options: &[&str], script: &str) -> Result<Peer> {
    let command =
        Command::new(TOOL).arg("lock").args(options).args(["r", "--", "sh", "-c", script]);
    Peer::start(cluster, node, &command)
}

/// Runs until its input ends.
const HOLD: &str = "echo begins; read -r line; echo ends";

#[test]
#[ignore = "needs virtual machines"]
fn lock_runs_one_command_at_a_time_on_all_nodes() {
    let program = built("dlm", TOOL_BUILD);
    on_three(|cluster| {
        cluster.add_program(&program, TOOL.as_ref())?;
        let one = lock(cluster, 1, &[], HOLD)?;
        one.expect("begins")?;
        let busy = lock(cluster, 2, &["-n", "-E", "9"], "echo begins")?;
        busy.expect("(exit status 9)")?;
        let impatient = lock(cluster, 2, &["-w", "0.5", "-E", "8"], "echo begins")?;
        impatient.expect("(exit status 8)")?;
        let two = lock(cluster, 2, &[], HOLD)?;
        let three = lock(cluster, 3, &["-s"], "echo begins")?;
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

const ELECTION: &str = "/bin/election";

/// The term that a candidate leads next.
fn term(candidate: &Peer) -> Result<u64> {
    let line = candidate.expect_within("term ", RECOVERY)?.text;
    let term = line.split([' ', ':']).nth(1).context("no term")?;
    term.parse().with_context(|| format!("no term in \"{line}\""))
}

#[test]
#[ignore = "needs virtual machines"]
fn leaders_on_three_nodes_have_terms_of_their_own_also_when_one_dies_in_office() {
    let program = built("election", ELECTION_BUILD);
    on_three(|cluster| {
        cluster.add_program(&program, ELECTION.as_ref())?;
        let mut candidates = Vec::new();
        for node in cluster.numbers() {
            let command = Command::new(ELECTION).args([&format!("n{node}"), "1000000"]);
            candidates.push(Peer::start(cluster, node, &command)?);
        }
        let mut terms: [Vec<u64>; 3] = Default::default();
        for (candidate, terms) in candidates.iter().zip(&mut terms) {
            for _ in 0..5 {
                terms.push(term(candidate)?);
            }
        }
        cluster.kill(2);
        cluster.await_fenced(2, RECOVERY)?;
        // What it had said, and what the others say until long after it.
        for (node, (candidate, terms)) in (1..).zip(candidates.iter().zip(&mut terms)) {
            while candidate.has_said("term ") {
                terms.push(term(candidate)?);
            }
            for _ in 0..if node == 2 { 0 } else { 5 } {
                terms.push(term(candidate)?);
            }
        }
        for terms in &terms {
            ensure!(terms.is_sorted_by(|a, b| a < b), "not in order: {terms:?}");
        }
        let mut all = terms.concat();
        all.sort_unstable();
        ensure!(all.is_sorted_by(|a, b| a < b), "a term had two leaders: {terms:?}");
        Ok(())
    });
}
