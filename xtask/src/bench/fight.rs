//! Nodes that take one lock from each other as often as they can.

use anyhow::Result;
use serde_json::{Value, json};
use std::time::Duration;

use super::choice::Choice;
use super::library::FOLDER;
use super::race::SECOND;
use super::samples::Samples;
use dlm_lab::cluster::{Cluster, Peer};
use dlm_lab::vm::Command;

/// The row.
pub(super) const ROW: &str = "fight";

/// As `locks` calls them.
const LIBRARIES: [&str; 3] = ["cache", "dlm-runtime", "libdlm_lt"];

const ROUNDS: usize = 5;
/// For all to be at it.
const WARM_UP: Duration = Duration::from_millis(500);
const COUNTED: Duration = Duration::from_secs(4);

/// For one turn, which takes seconds: a lock that is lost ends the benchmark.
const LIMIT: Duration = Duration::from_secs(240);

/// What one library did.
#[derive(Debug, Default)]
struct Lane {
    /// Nanoseconds of an acquisition, all nodes together.
    costs: Samples,
    /// In all rounds.
    longest: Duration,
    /// Of all acquisitions, the part of the node that had the fewest: of two nodes half is fair.
    least_part: Samples,
}

/// Measures and prints, and returns the rows for the file.
pub(super) fn run(cluster: &Cluster, kernel: &str, choice: &Choice) -> Result<Vec<Value>> {
    let rounds = if choice.quick { 1 } else { ROUNDS };
    println!("{ROW}, Linux {kernel}: nodes that want one lock all the time, {rounds} rounds");
    let mut rows = Vec::new();
    for nodes in [2, 3] {
        let mut lanes = LIBRARIES.map(|library| (library, Lane::default()));
        for _ in 0..rounds {
            for (library, lane) in &mut lanes {
                turn(cluster, nodes, library, lane)?;
            }
            lanes.rotate_left(1);
        }
        lanes.sort_by_key(|(library, _)| LIBRARIES.iter().position(|other| other == library));
        println!(
            "{:21}{:>11}{:>11}{:>14}{:>8}",
            "library", "taken/s", "to C", "longest ms", "least"
        );
        let [.., (_, c)] = &lanes;
        for (library, lane) in &lanes {
            let (cost, part) = (lane.costs.median(), lane.least_part.median());
            let (to_c, longest) = (lane.costs.speed_beside(&c.costs), lane.longest.as_secs_f64());
            let name = format!("{nodes} nodes, {library}");
            println!("{name:21}{:11.0}{to_c:11.2}{:14.1}{part:8.3}", SECOND / cost, longest * 1e3);
            rows.push(json!({
                "row": ROW,
                "library": library,
                "kernel": kernel,
                "nodes": nodes,
                "acquisitions_per_s": SECOND / cost,
                "ratio_to_c": to_c,
                "longest_wait_s": longest,
                "least_part": part,
            }));
        }
    }
    Ok(rows)
}

/// One library on so many nodes, for a while. All fight before that begins, and until it is over for all.
fn turn(cluster: &Cluster, nodes: u8, library: &str, lane: &mut Lane) -> Result<()> {
    let start = |node| -> Result<Peer> {
        let command = Command::new(format!("{FOLDER}/locks"));
        let peer = Peer::start(cluster, node, &command.args(["fight", library]))?;
        peer.expect("ready")?;
        Ok(peer)
    };
    let peers = (1..=nodes).map(start).collect::<Result<Vec<_>>>()?;
    let tell = |what| peers.iter().try_for_each(|peer| peer.say(what));
    tell("fight")?;
    std::thread::sleep(WARM_UP);
    tell("count")?;
    std::thread::sleep(COUNTED);
    tell("tell")?;
    let (mut all, mut least, mut time) = (0.0, f64::INFINITY, 0.0_f64);
    for peer in &peers {
        let line = peer.expect_within("fought ", LIMIT)?.text;
        let words: Vec<u64> = line.split(' ').skip(1).map(str::parse).collect::<Result<_, _>>()?;
        let [nanoseconds, count, longest] = *words else {
            anyhow::bail!("odd words of node {}: {line}", peer.node);
        };
        all += count as f64;
        least = least.min(count as f64);
        time = time.max(nanoseconds as f64);
        lane.longest = lane.longest.max(Duration::from_nanos(longest));
    }
    tell("stop")?;
    for peer in &peers {
        peer.expect_within("(exit status 0)", LIMIT)?;
    }
    lane.costs.add(time / all);
    lane.least_part.add(least / all);
    Ok(())
}
