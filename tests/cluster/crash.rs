//! Nodes that die, freeze or lose their network, with fencing.

use super::{RECOVERY, on_three, peer, peers, took};
use anyhow::{Result, ensure};
use dlm_lab::cluster::{Cluster, Peer};
use std::time::Instant;

/// Node 2 holds EX and has stored "old"; node 3 waits; node 1 keeps the block with a NL lock, which
/// is all that is left when node 2 is gone.
fn holder_and_waiter(cluster: &Cluster) -> Result<[Peer; 3]> {
    let [one, two, three] = peers(cluster)?;
    one.ask("lock keep r NL lvb", "keep granted NL")?;
    two.ask("lock b r EX lvb", "b granted EX")?;
    two.ask("convert b EX write=old", "b converted EX")?;
    three.say("lock c r EX lvb")?;
    two.expect("b blocks EX")?;
    Ok([one, two, three])
}

/// Shows #dead-node-invalidates-the-block.
#[test]
#[ignore = "needs virtual machines"]
fn the_waiter_of_a_dead_node_is_granted_after_it_was_fenced_and_the_block_is_invalid() {
    on_three(|cluster| {
        let [one, _two, three] = holder_and_waiter(cluster)?;
        cluster.hold_fencing(true);
        let killed = Instant::now();
        cluster.kill(2);
        let asked = cluster.await_fencing(2, RECOVERY)?;
        took("from the death of a node to the call of the fence agent", killed, asked.asked);
        // Nobody knows yet whether node 2 is off, so everything stands still.
        one.ask("status", "status Stopped")?;
        three.ask("status", "status Stopped")?;
        ensure!(!three.has_said("c "), "granted before node 2 was fenced");
        cluster.hold_fencing(false);
        let off = cluster.await_fenced(2, RECOVERY)?.off.unwrap_or(killed);
        let granted = three.expect_within("c granted EX [old] invalid", RECOVERY)?;
        took("from a fence agent's success to the grant", off, granted.at);
        one.ask("status", "status Running [1, 3]")?;
        three.ask("convert c EX write=new", "c converted EX")?;
        three.ask("unlock c", "c unlocked")?;
        one.ask("convert keep PR read", "keep converted PR [new] valid")?;
        one.ask("unlock keep", "keep unlocked")?;
        // The victim comes back, and can have locks as before.
        let rebooting = Instant::now();
        cluster.reboot(2)?;
        took("from power on to membership", rebooting, Instant::now());
        let two = peer(cluster, 2)?;
        two.ask("lock b r EX", "b granted EX")?;
        one.ask("status", "status Running [1, 2, 3]")?;
        Ok(())
    });
}

#[test]
#[ignore = "needs virtual machines"]
fn of_two_waiters_for_a_dead_nodes_lock_one_is_granted_and_then_the_other() {
    on_three(|cluster| {
        let [one, two, three] = peers(cluster)?;
        // Without these nobody would keep the block when node 2 is gone, see `danger`.
        one.ask("lock keep leader NL lvb", "keep granted NL")?;
        three.ask("lock keep leader NL lvb", "keep granted NL")?;
        two.ask("lock b leader EX lvb", "b granted EX")?;
        two.ask("convert b EX write=term-1", "b converted EX")?;
        one.say("lock a leader EX lvb")?;
        three.say("lock c leader EX lvb")?;
        two.expect("b blocks EX")?;
        let killed = Instant::now();
        cluster.kill(2);
        // Which of them leads is the lock manager's choice.
        let first = loop {
            let after = |peer: &Peer, line| peer.has_said(line);
            if after(&one, "a granted EX") {
                break (&one, "a", &three, "c");
            }
            if after(&three, "c granted EX") {
                break (&three, "c", &one, "a");
            }
            ensure!(killed.elapsed() < RECOVERY, "no new leader");
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        let (leader, lock, other, waiting) = first;
        let granted = leader.expect(&format!("{lock} granted EX [term-1] invalid"))?;
        took("from the death of a node to the grant of its lock", killed, granted.at);
        ensure!(!other.has_said(&format!("{waiting} granted")), "two leaders");
        leader.ask(&format!("convert {lock} EX write=term-2"), &format!("{lock} converted EX"))?;
        leader.ask(&format!("unlock {lock}"), &format!("{lock} unlocked"))?;
        other.expect(&format!("{waiting} granted EX [term-2] valid"))?;
        let fenced = cluster.fenced();
        ensure!(fenced.iter().all(|f| f.victim == 2), "others were fenced: {fenced:?}");
        Ok(())
    });
}

#[test]
#[ignore = "needs virtual machines"]
fn a_block_outlives_its_master_while_its_reader_becomes_a_writer() {
    on_three(|cluster| {
        let [one, two, _three] = peers(cluster)?;
        // The first to ask is master.
        one.ask("lock a r EX lvb", "a granted EX")?;
        one.ask("convert a PR write=old", "a converted PR")?;
        two.ask("lock b r PR lvb", "b granted PR [old] valid")?;
        two.say("convert b EX read")?;
        one.expect("a blocks EX")?;
        // What is left of the block is the copy of a lock that waits for a conversion.
        cluster.kill(1);
        two.expect_within("b converted EX [old] valid", RECOVERY)?;
        Ok(())
    });
}

#[test]
#[ignore = "needs virtual machines"]
fn a_node_without_network_is_fenced_before_its_locks_go_to_others() {
    on_three(|cluster| {
        let [one, _two, three] = holder_and_waiter(cluster)?;
        let cut = Instant::now();
        cluster.network().isolate(2);
        let off = cluster.await_fenced(2, RECOVERY)?.off.unwrap_or(cut);
        let granted = three.expect_within("c granted EX [old] invalid", RECOVERY)?;
        took("from the loss of a node's network to the grant of its lock", cut, granted.at);
        ensure!(granted.at > off, "granted before node 2 was off");
        ensure!(cluster.node(2).is_err(), "node 2 is still on");
        let fenced = cluster.fenced();
        ensure!(fenced.iter().all(|f| f.victim == 2), "others were fenced: {fenced:?}");
        one.ask("status", "status Running [1, 3]")?;
        Ok(())
    });
}

#[test]
#[ignore = "needs virtual machines"]
fn a_frozen_node_is_fenced_before_its_locks_go_to_others() {
    on_three(|cluster| {
        let [_one, _two, three] = holder_and_waiter(cluster)?;
        let frozen = Instant::now();
        cluster.freeze(2)?;
        let off = cluster.await_fenced(2, RECOVERY)?.off.unwrap_or(frozen);
        let granted = three.expect_within("c granted EX [old] invalid", RECOVERY)?;
        took("from the freeze of a node to the grant of its lock", frozen, granted.at);
        ensure!(granted.at > off, "granted before node 2 was off");
        Ok(())
    });
}

#[test]
#[ignore = "needs virtual machines"]
fn without_quorum_everything_stands_still_until_the_others_are_back() {
    on_three(|cluster| {
        let [one, _two, _three] = peers(cluster)?;
        one.ask("lock a r PR", "a granted PR")?;
        cluster.kill(2);
        cluster.kill(3);
        let stopped = Instant::now();
        loop {
            let line = one.ask("status", "status ")?;
            if line.text.starts_with("status Stopped") {
                break;
            }
            ensure!(stopped.elapsed() < RECOVERY, "{}", line.text);
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        // One of three may not fence anybody, either.
        ensure!(cluster.fenced().is_empty(), "fenced without quorum");
        one.say("lock b other EX")?;
        ensure!(one.expect_within("b ", std::time::Duration::from_secs(2)).is_err(), "granted");
        cluster.reboot(2)?;
        one.expect_within("b granted EX", RECOVERY)?;
        Ok(())
    });
}

/// Shows #controller-that-is-gone.
#[test]
#[ignore = "needs virtual machines"]
fn a_node_whose_dlm_controld_dies_is_fenced() {
    on_three(|cluster| {
        let [_one, two, three] = holder_and_waiter(cluster)?;
        let killed = Instant::now();
        cluster.kill_controller(2)?;
        let off = cluster.await_fenced(2, RECOVERY)?.off.unwrap_or(killed);
        let granted = three.expect_within("c granted EX [old] invalid", RECOVERY)?;
        took("from the death of dlm_controld to the grant of its node's lock", killed, granted.at);
        ensure!(granted.at > off, "granted before node 2 was off");
        ensure!(!two.has_said("b unlocked"), "node 2 gave up its lock");
        Ok(())
    });
}

#[test]
#[ignore = "needs virtual machines"]
fn a_node_without_lockspaces_can_restart_dlm_controld_beside_locks_of_others() {
    on_three(|cluster| {
        let [one, two, three] = peers(cluster)?;
        one.ask("lock a r EX lvb", "a granted EX")?;
        one.ask("convert a EX write=old", "a converted EX")?;
        two.ask("leave force", "leave ok")?;
        cluster.restart_controller(2)?;
        two.ask("space tests", "space ok")?;
        three.say("lock c r PR lvb")?;
        two.ask("lock b r PR noqueue", "b again")?;
        one.expect("a blocks PR")?;
        one.ask("unlock a", "a unlocked")?;
        three.expect("c granted PR [old] valid")?;
        ensure!(cluster.fenced().is_empty(), "somebody was fenced: {:?}", cluster.fenced());
        Ok(())
    });
}
