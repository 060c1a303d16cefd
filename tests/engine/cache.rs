//! A cached value on clusters of several nodes, of which some stand still, are cut off, or are lost.

mod disk;
mod node;
mod pacer;
mod round;

use std::time::Instant;

use self::round::{Round, Tally};

/// So many rounds go on at each call. `DLM_CACHE_ROUNDS` says otherwise, and `DLM_CACHE_SEED` with which
/// seed they begin. With `DLM_CACHE_BOUND` nobody may wait for long in the time of the cluster, which
/// passes also while a busy machine does not let a thread run: it is for a run that has the machine alone.
const ROUNDS: u64 = 40;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn nodes_share_a_cached_value_through_faults() {
    let count = number("DLM_CACHE_ROUNDS").unwrap_or(ROUNDS);
    let first = number("DLM_CACHE_SEED").unwrap_or(0);
    let is_bounded = std::env::var_os("DLM_CACHE_BOUND").is_some();
    let (start, mut tally) = (Instant::now(), Tally::default());
    for seed in first..first + count {
        let round = Round::of(seed);
        println!("{round:?}");
        tally.add(round.run(is_bounded));
        if (seed + 1 - first).is_multiple_of(100) {
            eprintln!("{} rounds, {:?}, {tally:?}", seed + 1 - first, start.elapsed());
        }
    }
    println!("{count} rounds, {:?}, {tally:?}", start.elapsed());
}
