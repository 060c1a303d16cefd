//! Locks across nodes, while all is well.

use super::{on_three, peer, peers, took};
use anyhow::ensure;
use std::time::Instant;

const SIGKILL: i32 = 9;

#[test]
#[ignore = "needs virtual machines"]
fn a_lock_and_its_value_block_go_from_node_to_node() {
    on_three(|cluster| {
        let [one, two, three] = peers(cluster)?;
        one.ask("lock a r EX lvb", "a granted EX [] valid")?;
        three.ask("lock c r PR noqueue", "c again")?;
        two.say("lock b r PR lvb")?;
        one.expect("a blocks PR")?;
        ensure!(!two.has_said("b "), "granted beside EX");
        one.ask("unlock a write=hello", "a unlocked")?;
        two.expect("b granted PR [hello] valid")?;
        three.ask("lock c r CR lvb", "c granted CR [hello] valid")?;
        // The block goes on with whoever may write it.
        three.say("convert c EX read")?;
        two.expect("b blocks EX")?;
        two.ask("unlock b", "b unlocked")?;
        three.expect("c converted EX [hello] valid")?;
        three.ask("convert c CR write=again", "c converted CR")?;
        one.ask("lock a r PR lvb", "a granted PR [again] valid")?;
        Ok(())
    });
}

#[test]
#[ignore = "needs virtual machines"]
fn conversions_that_block_each_other_across_nodes_end() {
    on_three(|cluster| {
        let [one, two, _three] = peers(cluster)?;
        one.ask("lock a r PR", "a granted PR")?;
        two.ask("lock b r PR", "b granted PR")?;
        one.say("convert a EX")?;
        two.expect("b blocks EX")?;
        two.ask("convert b EX", "b deadlock PR")?;
        ensure!(!one.has_said("a converted"), "converted beside PR");
        two.ask("unlock b", "b unlocked")?;
        one.expect("a converted EX")?;
        Ok(())
    });
}

#[test]
#[ignore = "needs virtual machines"]
fn a_deadline_ends_the_wait_for_another_node() {
    on_three(|cluster| {
        let [one, two, three] = peers(cluster)?;
        one.ask("lock a r EX", "a granted EX")?;
        two.say("lock b r EX ms=2000")?;
        one.expect("a blocks EX")?;
        three.say("lock c r PR")?;
        two.expect("b timedout -")?;
        ensure!(!three.has_said("c "), "granted beside EX");
        // Nothing of the request is left in the queue.
        one.ask("unlock a", "a unlocked")?;
        three.expect("c granted PR")?;
        Ok(())
    });
}

#[test]
#[ignore = "needs virtual machines"]
fn a_killed_holder_leaves_its_lock_to_other_nodes_and_the_block_invalid() {
    on_three(|cluster| {
        let [one, two, three] = peers(cluster)?;
        // Keeps the block while nobody else has the lock.
        three.ask("lock keep r NL lvb", "keep granted NL")?;
        one.ask("lock a r EX lvb", "a granted EX")?;
        one.ask("convert a EX write=old", "a converted EX")?;
        two.say("lock b r EX lvb")?;
        one.expect("a blocks EX")?;
        let killed = Instant::now();
        one.signal(SIGKILL)?;
        let granted = two.expect("b granted EX [old] invalid")?;
        took("from the death of a process to the grant of its lock", killed, granted.at);
        two.ask("convert b EX write=new", "b converted EX")?;
        two.ask("unlock b", "b unlocked")?;
        three.ask("convert keep PR read", "keep converted PR [new] valid")?;
        Ok(())
    });
}

#[test]
#[ignore = "needs virtual machines"]
fn an_orphan_holds_its_lock_against_other_nodes_until_adopted_or_purged() {
    on_three(|cluster| {
        let [one, two, three] = peers(cluster)?;
        one.ask("lock a r EX", "a granted EX")?;
        one.ask("persist a", "a persists")?;
        one.signal(SIGKILL)?;
        one.expect("(killed by signal 9)")?;
        two.ask("lock b r PR noqueue", "b again")?;
        // Orphans are adopted on the node where they are.
        two.ask("adopt x r EX", "x error")?;
        let again = peer(cluster, 1)?;
        again.ask("adopt a r EX", "a adopted")?;
        two.ask("lock c r PR noqueue", "c again")?;
        again.ask("unlock a", "a unlocked")?;
        two.ask("lock d r PR", "d granted PR")?;
        two.ask("unlock d", "d unlocked")?;
        // Another one, which a third node purges.
        again.ask("lock e r EX", "e granted EX")?;
        again.ask("persist e", "e persists")?;
        again.signal(SIGKILL)?;
        again.expect("(killed by signal 9)")?;
        two.ask("lock f r PR noqueue", "f again")?;
        two.say("lock g r PR")?;
        three.ask("purge 1", "purge ok")?;
        two.expect("g granted PR")?;
        Ok(())
    });
}
