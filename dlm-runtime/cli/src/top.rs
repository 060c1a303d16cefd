//! `dlm top`: lockspaces, and the resources that are waited for, again and again.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::thread;
use std::time::{Duration, Instant};

use dlm_runtime::inspect::{Lock, Resource, Snapshot, State, merge};

use crate::args::{Common, TopArgs};
use crate::json;
use crate::keys::{Next, Order, Terminal, View};
use crate::ls::state_of;
use crate::output::{Paint, Table, is_coloured, paint, print, print_json, time};
use crate::scene::{Depth, Scene};
use crate::status::{Failure, Status};

/// Moves to the corner of a terminal, and clears what is behind.
const CLEAR: &str = "\x1b[H\x1b[J";

/// One look.
#[derive(Debug, serde::Serialize)]
struct Frame {
    /// The lockspaces of the nodes at hand.
    lockspaces: Vec<json::Lockspace>,
    /// The resources that are waited for, those with most waiters first.
    contended: Vec<Row>,
}

/// A resource that is waited for.
#[derive(Debug, serde::Serialize)]
struct Row {
    /// The lockspace.
    lockspace: String,
    /// The resource.
    resource: String,
    /// How many wait.
    waiting: usize,
    /// The milliseconds that the longest has waited.
    longest_ms: Option<u64>,
    /// Locks that came into their queue since the look before, in a second. Those that have gone
    /// again meanwhile are not seen.
    new_per_second: f64,
    /// Who holds it, the first of them.
    holder: Option<String>,
    /// Who waits, the first of them.
    first_waiter: Option<String>,
}

pub(crate) fn run(args: &TopArgs, scene: &Scene, common: &Common) -> Result<Status, Failure> {
    let is_terminal = std::io::stdout().is_terminal();
    let clear = if is_terminal { CLEAR } else { "" };
    let terminal = if common.json { None } else { Terminal::open()? };
    let mut view = View::default();
    let mut looks = 0;
    loop {
        let snapshots = scene.snapshots(Depth::All)?;
        let mut frame = Frame::new(&snapshots, args.interval);
        let next = Instant::now() + args.interval;
        looks += 1;
        let is_last = args.count.is_some_and(|count| looks >= count);
        loop {
            if common.json {
                print_json(&frame)?;
            } else {
                frame.sort(view.order);
                let help = terminal.as_ref().map(|_| view.help()).unwrap_or_default();
                let text = frame.text(&snapshots, args.lines, &view.filter, is_coloured());
                print(&format!("{clear}{text}{help}"))?;
            }
            if is_last {
                return Ok(Status::Good);
            }
            match &terminal {
                Some(terminal) => match terminal.wait(&mut view, next)? {
                    Next::Draw => {}
                    Next::Look => break,
                    Next::Quit => return Ok(Status::Good),
                },
                None => {
                    thread::sleep(args.interval);
                    break;
                }
            }
        }
    }
}

impl Frame {
    fn new(snapshots: &[Snapshot], interval: Duration) -> Self {
        let contended: Vec<Row> = merge(snapshots)
            .iter()
            .filter(|resource| resource.is_contended())
            .map(|resource| Row::new(resource, interval))
            .collect();
        let lockspaces = snapshots.iter().flat_map(json::Lockspace::all).collect();
        let mut frame = Self { lockspaces, contended };
        frame.sort(Order::default());
        frame
    }

    fn sort(&mut self, order: Order) {
        let name = |row: &Row| (row.lockspace.clone(), row.resource.clone());
        self.contended.sort_by_cached_key(name);
        match order {
            Order::Name => {}
            Order::Waiting => {
                self.contended.sort_by_key(|row| Reverse((row.waiting, row.longest_ms)));
            }
            Order::Longest => {
                self.contended.sort_by_key(|row| Reverse((row.longest_ms, row.waiting)));
            }
        }
    }

    /// The lockspaces, and so many of the resources with this in their names.
    fn text(&self, snapshots: &[Snapshot], lines: usize, filter: &str, coloured: bool) -> String {
        let mut text = String::new();
        for (space, shown) in
            self.lockspaces.iter().zip(snapshots.iter().flat_map(|it| &it.lockspaces))
        {
            let number = |number: Option<usize>| number.map_or("?".to_owned(), |n| n.to_string());
            let node = space.node.map_or(String::new(), |node| format!(" on node {node}"));
            let state = state_of(&shown.status, shown.condition.as_ref());
            let colour =
                if shown.status.state == State::Stopped { Paint::Bad } else { Paint::Bold };
            let name = paint(&format!("{}{node}", space.name), colour, coloured);
            let _ = writeln!(
                text,
                "{name}: {state}; {} locks, {} resources, {} waited for",
                number(space.locks),
                number(space.resources),
                number(space.contended)
            );
        }
        text.push('\n');
        let mut table = Table::with_heads(&[
            "WAIT",
            "LONGEST",
            "NEW/s",
            "RESOURCE",
            "HELD BY",
            "FIRST IN LINE",
        ]);
        let name = |row: &Row| format!("{}/{}", row.lockspace, row.resource);
        let mut shown = self.contended.iter().filter(|row| name(row).contains(filter)).peekable();
        if shown.peek().is_none() {
            text.push_str(match &*self.contended {
                [] => "nobody waits\n",
                _ => "nobody waits for a resource with this in its name\n",
            });
            return text;
        }
        for row in shown.take(lines) {
            let owned = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            let longest = row.longest_ms.map(|ms| time(Duration::from_millis(ms)));
            table.add(vec![
                row.waiting.to_string(),
                longest.unwrap_or_else(|| "?".to_owned()),
                format!("{:.1}", row.new_per_second),
                name(row),
                owned(&row.holder),
                owned(&row.first_waiter),
            ]);
        }
        text.push_str(&table.text(coloured));
        text
    }
}

impl Row {
    fn new(resource: &Resource, interval: Duration) -> Self {
        let waiting = || resource.locks.iter().filter(|lock| lock.is_waiting());
        let is_new = |lock: &&Lock| lock.age.is_some_and(|age| age < interval);
        let new = resource.locks.iter().filter(is_new).count();
        let longest = waiting().filter_map(|lock| lock.age).max();
        #[expect(clippy::cast_precision_loss, reason = "a number for people")]
        let new_per_second = new as f64 / interval.as_secs_f64().max(0.01);
        Self {
            lockspace: resource.lockspace.clone(),
            resource: resource.name.to_string(),
            waiting: waiting().count(),
            longest_ms: longest.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            new_per_second,
            holder: resource
                .locks
                .iter()
                .find(|lock| lock.granted.is_some())
                .map(|lock| lock.owner().to_string()),
            first_waiter: waiting().next().map(|lock| lock.owner().to_string()),
        }
    }
}
