//! The program `dlm` on three nodes.

use super::{RECOVERY, TOOL, TOOL_BUILD, built, on_three, peers, took};
use anyhow::{Result, ensure};
use dlm_lab::cluster::{Cluster, Peer};
use dlm_lab::vm::Command;

/// `dlm` on a node: what it says to the end.
fn dlm(cluster: &Cluster, node: u8, arguments: &str) -> Result<String> {
    cluster.sh(node, &format!("{TOOL} {arguments} 2>&1; true"))
}

/// The dumps of all nodes, put onto each of them; and the options to look at them.
fn exchange(cluster: &Cluster) -> Result<String> {
    let mut options = String::new();
    for node in cluster.numbers() {
        let dump = dlm(cluster, node, "dump")?;
        for other in cluster.numbers() {
            cluster.node(other)?.put_file(format!("/tmp/dump{node}"), 0o644, dump.as_bytes())?;
        }
        options.push_str(&format!("--dump /tmp/dump{node} "));
    }
    Ok(options)
}

/// What asks a node for its dump.
const ASK: &str = "nc {} 7007 </dev/null";

/// Lets each node give its dump to who asks, as ssh would.
fn serve_dumps(cluster: &Cluster) -> Result<()> {
    for node in cluster.numbers() {
        cluster.sh(node, &format!("nc -ll -p 7007 -e {TOOL} dump </dev/null >/dev/null 2>&1 &"))?;
    }
    Ok(())
}

/// `dlm watch` on a node.
fn watch(cluster: &Cluster, node: u8, arguments: &[&str]) -> Result<Peer> {
    let command = Command::new(TOOL).args(["watch", "--json", "--interval"]).args(arguments);
    Peer::start(cluster, node, &command)
}

#[test]
#[ignore = "needs virtual machines"]
fn why_names_program_node_and_order_on_each_node() {
    let program = built("dlm", TOOL_BUILD);
    on_three(|cluster| {
        cluster.add_program(&program, TOOL.as_ref())?;
        let [one, two, three] = peers(cluster)?;
        one.ask("lock a disk0 EX", "a granted")?;
        two.say("lock b disk0 PR")?;
        one.expect("a blocks PR")?;
        three.say("lock c disk0 EX")?;
        one.expect("a blocks EX")?;
        // The master knows the order by itself, and no programs but its own.
        let text = dlm(cluster, 1, "why disk0")?;
        ensure!(text.contains("Held: EX by cluster_peer["), "{text}");
        ensure!(text.contains(" on node 2") && text.contains(" on node 3"), "{text}");
        let options = exchange(cluster)?;
        for node in 1..=3 {
            let text = dlm(cluster, node, &format!("{options} why disk0"))?;
            let order = [
                "Held: EX by cluster_peer[",
                "on node 1, for",
                "1. PR by cluster_peer[",
                "on node 2, for",
                "2. EX by cluster_peer[",
                "on node 3, for",
            ];
            let mut rest = text.as_str();
            for part in order {
                let Some((_, behind)) = rest.split_once(part) else {
                    anyhow::bail!("node {node}: no \"{part}\" in {text}");
                };
                rest = behind;
            }
        }
        // One command asks the others by itself.
        serve_dumps(cluster)?;
        let text = dlm(cluster, 1, &format!("--ask '{ASK}' why disk0"))?;
        ensure!(text.contains("2. EX by cluster_peer["), "{text}");
        Ok(())
    });
}

#[test]
#[ignore = "needs virtual machines"]
fn a_deadlock_over_two_resources_and_nodes_is_drawn_found_and_ended() {
    let program = built("dlm", TOOL_BUILD);
    on_three(|cluster| {
        cluster.add_program(&program, TOOL.as_ref())?;
        let [one, two, _three] = peers(cluster)?;
        one.ask("lock a left EX", "a granted")?;
        two.ask("lock b right EX", "b granted")?;
        one.say("lock c right EX")?;
        two.expect("b blocks EX")?;
        let options = exchange(cluster)?;
        let text = dlm(cluster, 3, &format!("{options} graph"))?;
        ensure!(
            text.contains("on node 1 --> cluster_peer[") && !text.contains("deadlock"),
            "{text}"
        );
        two.say("lock d left EX")?;
        one.expect("a blocks EX")?;
        let options = exchange(cluster)?;
        for node in 1..=3 {
            let text = dlm(cluster, node, &format!("{options} graph"))?;
            ensure!(text.contains("deadlock of 2: "), "{text}");
            ensure!(text.contains("tests/left") && text.contains("tests/right"), "{text}");
        }
        // Each node watches, and that of the victim ends it.
        serve_dumps(cluster)?;
        let arguments = ["0.5", "--end-deadlocks", "--ask", ASK];
        let watches = (1..=3).map(|node| watch(cluster, node, &arguments));
        let watches: Vec<Peer> = watches.collect::<Result<_>>()?;
        watches[1].expect(r#"{"event":"deadlock_ended","lockspace":"tests","node":2"#)?;
        two.expect("d deadlock")?;
        ensure!(!one.has_said("c "), "the other wait was ended, too");
        two.ask("unlock b", "b unlocked")?;
        one.expect("c granted EX")?;
        let told = watches[0].expect(r#"{"event":"deadlock","lockspace":"tests","node":2"#)?;
        ensure!(told.text.contains(r#""resource":"left""#), "{}", told.text);
        let svg = dlm(cluster, 1, &format!("{options} graph --format svg"))?;
        ensure!(svg.starts_with("<svg") && svg.matches("#c00").count() == 4, "{svg}");
        Ok(())
    });
}

#[test]
#[ignore = "needs virtual machines"]
fn a_dead_node_shows_as_fencing_that_is_awaited_and_then_as_granted() {
    let program = built("dlm", TOOL_BUILD);
    on_three(|cluster| {
        cluster.add_program(&program, TOOL.as_ref())?;
        let [_one, two, three] = peers(cluster)?;
        two.ask("lock b r EX", "b granted")?;
        three.say("lock c r EX")?;
        two.expect("b blocks EX")?;
        let watch = watch(cluster, 1, &["0.1"])?;
        watch.expect(r#"{"event":"runs","lockspace":"tests""#)?;
        cluster.hold_fencing(true);
        cluster.kill(2);
        let asked = cluster.await_fencing(2, RECOVERY)?.asked;
        let awaits =
            r#"{"event":"awaits","lockspace":"tests","node":null,"awaits":"fencing of node 2""#;
        let told = watch.expect_within(awaits, RECOVERY)?;
        took("from the call of the fence agent to what dlm watch says of it", asked, told.at);
        for node in [1, 3] {
            let text = dlm(cluster, node, "ls")?;
            ensure!(text.contains("stopped, awaits fencing of node 2"), "node {node}: {text}");
        }
        let text = dlm(cluster, 3, "why r")?;
        ensure!(text.contains("fencing of node 2 is awaited"), "{text}");
        cluster.hold_fencing(false);
        watch.expect_within(r#"{"event":"left","lockspace":"tests","node":2"#, RECOVERY)?;
        let runs = watch.expect_within(r#"{"event":"runs","lockspace":"tests""#, RECOVERY)?;
        let granted = three.expect_within("c granted EX", RECOVERY)?;
        took(
            "from the grant to what dlm watch says of the recovery",
            granted.at,
            runs.at.max(granted.at),
        );
        let text = dlm(cluster, 3, "why r")?;
        ensure!(text.contains("Held: EX by cluster_peer[") && text.contains("on node 3"), "{text}");
        // On each member, and not on the one with the lowest id alone.
        for node in [1, 3] {
            let text = dlm(cluster, node, "ls")?;
            ensure!(text.contains("running"), "node {node}: {text}");
        }
        Ok(())
    });
}
