//! The example `key_value` on three nodes with a shared disk, of which one is fenced.

use super::{RECOVERY, built, on_three};
use anyhow::{Context, Result, ensure};
use dlm_lab::cluster::{Cluster, Peer, SHARED_DISK};
use dlm_lab::vm::Command;
use dlm_random::Random;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

const STORE: &str = "/bin/key_value";
const BUILD: &[&str] =
    &["build", "-p", "dlm-runtime", "--features", "engine", "--example", "key_value"];

/// Keys of a node. Some of them are in one bucket with keys of other nodes.
const KEYS: usize = 4;
/// Steps of the survivors with the victim, up to, and without it.
const WITH: u64 = 30;
const WITHOUT: u64 = 10;
/// What the victim sets last. No other key is in its bucket, and nobody asks for it before its end.
const WILL: &str = "will";
/// How a node tells that something of that bucket may be lost.
const LOSS_OF_WILL: &str = "loss bucket 5:";

/// The ways in which a node is lost.
const WAYS: [fn(&Cluster, u8) -> Result<()>; 3] = [
    |cluster, node| {
        cluster.kill(node);
        Ok(())
    },
    |cluster, node| cluster.freeze(node),
    |cluster, node| {
        cluster.network().isolate(node);
        Ok(())
    },
];

/// A key, and what its node was told of it.
struct Key {
    node: u8,
    name: String,
    set: AtomicU64,
    flushed: AtomicU64,
}

struct Scene<'a> {
    cluster: &'a Cluster,
    keys: Vec<Key>,
    victim: u8,
    /// The victim may be lost by now.
    is_doomed: AtomicBool,
    /// The others have its locks.
    is_fenced: AtomicBool,
}

/// Says something to a store. Returns what comes after the word that it answers with.
fn ask(peer: &Peer, line: &str, word: &str) -> Result<String> {
    peer.say(line)?;
    let answer = peer.expect_within("= ", RECOVERY)?.text;
    let rest = answer.strip_prefix("= ").and_then(|answer| answer.strip_prefix(word));
    let rest = rest.with_context(|| format!("node {}: {line}: {answer}", peer.node))?;
    Ok(rest.trim_start().to_owned())
}

/// The value of a key that has one.
fn get(peer: &Peer, key: &str) -> Result<String> {
    ask(peer, &format!("get {key}"), "is")
}

impl Key {
    /// Reads it on some node, where it must not be old.
    fn check(&self, peer: &Peer, scene: &Scene<'_>) -> Result<u64> {
        let flushed = self.flushed.load(Ordering::SeqCst);
        let set = self.set.load(Ordering::SeqCst);
        let found = get(peer, &self.name)?.parse()?;
        let may_be_lost = self.node == scene.victim && scene.is_doomed.load(Ordering::SeqCst);
        let least = if may_be_lost { flushed } else { set };
        ensure!(
            found >= least,
            "node {} reads {found} for {} after {set}, flushed {flushed}",
            peer.node,
            self.name
        );
        Ok(found)
    }

    fn set(&self, peer: &Peer, value: u64, flush: bool) -> Result<()> {
        ask(peer, &format!("set {} {value}", self.name), "set")?;
        self.set.store(value, Ordering::SeqCst);
        if flush {
            ask(peer, &format!("flush {}", self.name), "flushed")?;
            self.flushed.store(value, Ordering::SeqCst);
        }
        Ok(())
    }
}

impl Scene<'_> {
    /// Sets a key of this node, and reads one of any.
    fn step(&self, peer: &Peer, value: u64, random: &mut Random) -> Result<()> {
        let own = self.keys.iter().filter(|key| key.node == peer.node).nth(random.index(KEYS));
        own.context("no key")?.set(peer, value, random.below(4) == 0)?;
        self.keys[random.index(self.keys.len())].check(peer, self).map(drop)
    }

    /// The work of a node that stays.
    fn survive(&self, peer: &Peer, random: &mut Random) -> Result<()> {
        let (mut value, mut left) = (0, WITHOUT);
        while left > 0 {
            value += 1;
            left -= u64::from(self.is_fenced.load(Ordering::SeqCst));
            self.step(peer, value, random)?;
        }
        Ok(())
    }

    /// The work of a node until it is lost.
    fn end(&self, peer: &Peer, random: &mut Random) -> Result<()> {
        for value in 1..=1 + random.below(WITH) {
            self.step(peer, value, random)?;
        }
        ask(peer, &format!("set {WILL} flushed"), "set")?;
        ask(peer, &format!("flush {WILL}"), "flushed")?;
        ask(peer, &format!("set {WILL} not"), "set")?;
        self.is_doomed.store(true, Ordering::SeqCst);
        random.pick(&WAYS)(self.cluster, self.victim)?;
        self.cluster.await_fenced(self.victim, RECOVERY)?;
        self.is_fenced.store(true, Ordering::SeqCst);
        Ok(())
    }
}

#[test]
#[ignore = "needs virtual machines"]
fn what_a_lost_node_had_flushed_is_there_and_what_it_had_not_is_told() {
    let program = built("key_value", BUILD);
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    println!("seed {seed}");
    on_three(|cluster| {
        cluster.add_program(&program, STORE.as_ref())?;
        let start = |node| -> Result<Peer> {
            let peer = Peer::start(cluster, node, &Command::new(STORE).arg(SHARED_DISK))?;
            peer.expect_within("ready", RECOVERY)?;
            Ok(peer)
        };
        let peers = [start(1)?, start(2)?, start(3)?];
        let keys = cluster.numbers().flat_map(|node| (1..=KEYS).map(move |key| (node, key)));
        let scene = Scene {
            cluster,
            keys: keys
                .map(|(node, key)| Key {
                    node,
                    name: format!("count-{node}-{key}"),
                    set: AtomicU64::new(0),
                    flushed: AtomicU64::new(0),
                })
                .collect(),
            victim: u8::try_from(Random::new(seed).below(3))? + 1,
            is_doomed: AtomicBool::new(false),
            is_fenced: AtomicBool::new(false),
        };
        for key in &scene.keys {
            key.set(&peers[usize::from(key.node) - 1], 0, true)?;
        }
        thread::scope(|scope| {
            let each = peers.each_ref().map(|peer| {
                let (scene, mut random) = (&scene, Random::new(seed + u64::from(peer.node)));
                scope.spawn(move || match peer.node == scene.victim {
                    true => scene.end(peer, &mut random),
                    false => scene.survive(peer, &mut random),
                })
            });
            each.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
        })?;
        let others: Vec<_> = peers.iter().filter(|peer| peer.node != scene.victim).collect();
        let mut lost = 0;
        for key in &scene.keys {
            let found = [key.check(others[0], &scene)?, key.check(others[1], &scene)?];
            ensure!(found[0] == found[1], "{}: {found:?}", key.name);
            lost += key.set.load(Ordering::SeqCst).saturating_sub(found[0]);
        }
        let will = get(others[1], WILL)?;
        ensure!(will == "flushed", "nobody had asked for it, and it is \"{will}\"");
        ensure!(others[1].has_said(LOSS_OF_WILL), "nobody was told");
        println!("measured: {lost} counts of a lost node were lost with it");
        Ok(())
    });
}
