//! Ready-made coordination on three nodes, of which one dies.

use super::{RECOVERY, built, on_three};
use anyhow::{Context, Result, ensure};
use dlm_lab::cluster::{Cluster, Peer};
use dlm_lab::vm::Command;

/// Where the coordinator is in the guests.
const COORDINATOR: &str = "/bin/cluster_coordinator";

/// What cargo is told to build it.
const BUILD: &[&str] = &["build", "-p", "dlm-tests", "--example", "cluster_coordinator"];

/// A program on each node that has joined the lockspace.
fn coordinators(cluster: &Cluster) -> Result<[Peer; 3]> {
    cluster.add_program(&built("cluster_coordinator", BUILD), COORDINATOR.as_ref())?;
    let start = |node| -> Result<Peer> {
        let peer = Peer::start(cluster, node, &Command::new(COORDINATOR))?;
        peer.ask("space sync", "space ok")?;
        Ok(peer)
    };
    Ok([start(1)?, start(2)?, start(3)?])
}

/// Answers what a candidate asks about the record, until it has recorded its term.
fn record(candidate: &Peer, last: &mut u64) -> Result<()> {
    candidate.expect_within("record last", RECOVERY)?;
    let asked = candidate.ask(&format!("record {last}"), "record is")?.text;
    let term = asked.rsplit(' ').next().context("no term")?.parse()?;
    ensure!(*last < term, "term {term} after {last}");
    *last = term;
    candidate.say("record 0")
}

/// The last word of what somebody says.
fn number(peer: &Peer, beginning: &str) -> Result<u64> {
    let line = peer.expect_within(beginning, RECOVERY)?.text;
    Ok(line.rsplit(' ').next().context("no number")?.parse()?)
}

/// What somebody says when it is told this.
fn asked(peer: &Peer, line: &str, beginning: &str) -> Result<u64> {
    peer.say(line)?;
    number(peer, beginning)
}

#[test]
#[ignore = "needs virtual machines"]
fn what_a_dead_node_led_held_heard_and_was_is_told_to_the_others() {
    on_three(|cluster| {
        let [one, two, three] = coordinators(cluster)?;
        let mut last = 0;
        // Terms: node 2 leads when it dies, and node 3 stands in line.
        one.say("campaign")?;
        record(&one, &mut last)?;
        ensure!(number(&one, "campaign leads")? == 1, "not the first term");
        two.say("campaign")?;
        one.ask("resign", "resign ok")?;
        record(&two, &mut last)?;
        ensure!(number(&two, "campaign leads")? == 2, "not the second term");
        three.say("campaign")?;
        // Permits: both are out, one on node 2.
        ensure!(asked(&one, "acquire 2", "acquire permit")? == 0, "permit of 1");
        ensure!(asked(&two, "acquire 2", "acquire permit")? == 1, "permit of 2");
        three.say("acquire 2")?;
        // Rings: all hear.
        for peer in [&one, &two, &three] {
            peer.ask("listen", "listen begins")?;
        }
        ensure!(asked(&one, "ring", "ring")? == 1, "first ring");
        for peer in [&one, &two, &three] {
            ensure!(number(peer, "heard")? == 1, "heard something else");
        }
        // Members: all watch.
        for (peer, name) in [(&one, "one"), (&two, "two"), (&three, "three")] {
            peer.ask(&format!("join {name}"), "join ok")?;
        }
        for peer in [&one, &three] {
            peer.say("watch")?;
            for name in ["one", "two", "three"] {
                peer.expect(&format!("watch joined {name}"))?;
            }
        }
        // A barrier: node 2 never comes.
        one.say("arrive 3 600000")?;
        ensure!(!three.has_said("campaign") && !three.has_said("acquire"), "two at a time");

        cluster.kill(2);

        let fenced = cluster.await_fenced(2, RECOVERY)?;
        ensure!(fenced.victim == 2, "another was fenced: {fenced:?}");
        record(&three, &mut last)?;
        ensure!(number(&three, "campaign leads")? == 3, "not the third term");
        ensure!(number(&three, "acquire permit")? == 1, "another permit");
        for peer in [&one, &three] {
            peer.expect_within("watch died two", RECOVERY)?;
            ensure!(!peer.has_said("watch"), "more has changed");
        }
        one.say("ring")?;
        let rung = number(&one, "ring")?;
        for peer in [&one, &three] {
            // The number may have been lost with node 2, and that is told, too.
            let heard = peer.expect_within("heard", RECOVERY)?.text;
            if heard != format!("heard {rung}") {
                ensure!(heard == "heard what was lost", "{heard}");
                ensure!(number(peer, "heard")? == rung, "another ring");
            }
        }
        // Two of three have come, and the third comes when it is back; unless the count is lost.
        three.say("arrive 3 600000")?;
        cluster.reboot(2)?;
        let two = Peer::start(cluster, 2, &Command::new(COORDINATOR))?;
        two.ask("space sync", "space ok")?;
        two.say("arrive 3 600000")?;
        for peer in [&one, &two, &three] {
            let arrived = peer.expect_within("arrive", RECOVERY)?.text;
            ensure!(arrived == "arrive passed 1", "{arrived}");
        }
        Ok(())
    });
}
