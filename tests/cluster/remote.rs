//! A master of a resource that has not answered yet, and what the kernel allows meanwhile. The
//! master is frozen for a moment, so that it cannot.

use super::{on_three, peers};
use anyhow::{Result, ensure};
use dlm_lab::cluster::{Cluster, Peer};
use std::time::{Duration, Instant};

/// A moment that the other nodes do not take for a loss: half of the token's timeout.
const MOMENT: Duration = Duration::from_secs(1);

/// On a machine that is too busy for that, it is tried again.
const TRIES: u32 = 5;

/// Makes node 1 master of `r`, and lets node 2 do something while node 1 does not answer.
fn while_frozen(
    before: &str,
    during: impl Fn(&Peer) -> Result<()>,
    after: impl Fn(&Peer) -> Result<()>,
) {
    for _ in 0..TRIES {
        let mut in_time = false;
        on_three(|cluster| {
            in_time = once(cluster, before, &during, &after)?;
            Ok(())
        });
        if in_time {
            return;
        }
    }
    panic!("{TRIES} times node 1 was frozen for longer than {MOMENT:?}");
}

/// False if it took too long to mean anything.
fn once(
    cluster: &Cluster,
    before: &str,
    during: impl Fn(&Peer) -> Result<()>,
    after: impl Fn(&Peer) -> Result<()>,
) -> Result<bool> {
    let [one, two, _three] = peers(cluster)?;
    one.ask("lock a r NL", "a granted NL")?;
    // Opens the raw session.
    two.ask("raw lock 9 other NL", "raw taken 9")?;
    two.ask("raw next", "raw result 9 granted")?;
    if !before.is_empty() {
        two.ask(before, "raw taken 1")?;
        two.ask("raw next", "raw result 1 granted")?;
    }
    let frozen = Instant::now();
    cluster.freeze(1)?;
    let done = during(&two);
    cluster.thaw(1)?;
    if frozen.elapsed() > MOMENT {
        return Ok(false);
    }
    done?;
    after(&two)?;
    two.ask("raw now", "raw nothing")?;
    ensure!(cluster.fenced().is_empty(), "somebody was fenced");
    Ok(true)
}

/// Shows #conversions-with-a-remote-master.
#[test]
#[ignore = "needs virtual machines"]
fn one_conversion_at_a_time_but_down_is_answered_at_once() {
    while_frozen(
        "raw lock 1 r NL",
        |two| {
            two.ask("raw convert 1 PR", "raw taken 1")?;
            two.ask("raw convert 1 EX", "raw refused 1 EBUSY")?;
            two.ask("raw now", "raw nothing")?;
            Ok(())
        },
        |two| {
            two.ask("raw next", "raw result 1 granted")?;
            two.ask("raw convert 1 NL", "raw taken 1")?;
            two.ask("raw now", "raw result 1 granted")?;
            Ok(())
        },
    );
}

/// Shows #unlock-during-an-operation.
#[test]
#[ignore = "needs virtual machines"]
fn an_unanswered_request_is_not_unlocked_unless_forced() {
    while_frozen(
        "",
        |two| {
            two.ask("raw lock 1 r PR", "raw taken 1")?;
            two.ask("raw unlock 1", "raw refused 1 EBUSY")?;
            two.ask("raw unlock 1 force", "raw taken 1")?;
            Ok(())
        },
        |two| {
            two.ask("raw next", "raw result 1 granted")?;
            two.ask("raw next", "raw result 1 unlocked")?;
            Ok(())
        },
    );
}

/// Shows #cancel-loses-the-race.
#[test]
#[ignore = "needs virtual machines"]
fn a_cancel_does_not_overtake_the_grant() {
    while_frozen(
        "",
        |two| {
            two.ask("raw lock 1 r PR", "raw taken 1")?;
            two.ask("raw unlock 1 cancel", "raw taken 1")?;
            Ok(())
        },
        |two| {
            two.ask("raw next", "raw result 1 granted")?;
            two.ask("raw unlock 1", "raw taken 1")?;
            two.ask("raw next", "raw result 1 unlocked")?;
            Ok(())
        },
    );
}
