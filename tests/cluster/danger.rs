//! Harm to users who do not take care: without fencing, and without a lock that keeps the
//! value block.

use super::{RECOVERY, on_cluster, on_three, peers};
use anyhow::{Result, ensure};
use dlm_lab::cluster::Options;

#[test]
#[ignore = "needs virtual machines"]
fn without_fencing_a_frozen_node_and_its_successor_both_believe_to_hold_the_lock() {
    let options = Options { fencing: false, ..Options::default() };
    on_cluster(&options, |cluster| -> Result<()> {
        let [_one, two, three] = peers(cluster)?;
        two.ask("lock b r EX", "b granted EX")?;
        three.say("lock c r EX")?;
        two.expect("b blocks EX")?;
        cluster.freeze(2)?;
        three.expect_within("c granted EX", RECOVERY)?;
        cluster.thaw(2)?;
        // It goes on where it was, and nothing has told it.
        two.ask("mode b", "b holds EX")?;
        three.ask("mode c", "c holds EX")?;
        ensure!(!two.has_said("b "), "node 2 was told");
        ensure!(cluster.fenced().is_empty(), "fenced");
        Ok(())
    });
}

#[test]
#[ignore = "needs virtual machines"]
fn a_block_that_only_a_dead_node_kept_is_gone_and_nothing_says_so() {
    on_three(|cluster| {
        let [one, two, _three] = peers(cluster)?;
        two.ask("lock b r EX lvb", "b granted EX")?;
        two.ask("convert b EX write=old", "b converted EX")?;
        // Waiting locks keep no block; a NL lock does.
        one.say("lock a r EX lvb")?;
        two.expect("b blocks EX")?;
        cluster.kill(2);
        one.expect_within("a granted EX [] valid", RECOVERY)?;
        Ok(())
    });
}
