//! The program `dlm` on three nodes.

use super::{TOOL, TOOL_BUILD, built, on_three, peers};
use anyhow::{Result, ensure};
use dlm_lab::cluster::Cluster;

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
        for node in 2..=3 {
            cluster
                .sh(node, &format!("nc -ll -p 7007 -e {TOOL} dump </dev/null >/dev/null 2>&1 &"))?;
        }
        let text = dlm(cluster, 1, "--ask 'nc {} 7007 </dev/null' why disk0")?;
        ensure!(text.contains("2. EX by cluster_peer["), "{text}");
        Ok(())
    });
}

#[test]
#[ignore = "needs virtual machines"]
fn a_deadlock_over_two_resources_and_nodes_is_drawn_and_found() {
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
        let svg = dlm(cluster, 1, &format!("{options} graph --format svg"))?;
        ensure!(svg.starts_with("<svg") && svg.matches("#c00").count() == 4, "{svg}");
        Ok(())
    });
}
