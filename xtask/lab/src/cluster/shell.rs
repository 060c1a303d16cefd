//! A cluster for a person: shells on all nodes, and faults on request.

use super::Cluster;
use super::run::Prefixed;
use crate::vm::{Command, Event, Job};
use anyhow::{Context, Result};
use std::io::{self, BufRead, PipeWriter, Write};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What a person can say.
pub const HELP: &str = "\
    COMMAND         runs in the shell of node 1, or of the node chosen last
    @2              chooses node 2
    @all            chooses all nodes
    @2 COMMAND      runs there this once; @all COMMAND everywhere
    @kill 2         switches node 2 off; @reboot 2 switches it on, or off and on
    @freeze 2       gives node 2 no processor; @thaw 2 lets it go on
    @cut 2          cuts node 2 off the network; @heal mends all links
    @fenced         lists which nodes were fenced
    @help           shows this; @quit or the end of the input ends all
";

/// Whom a line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Node(u8),
    All,
}

#[derive(Debug, PartialEq, Eq)]
enum Order<'a> {
    Nothing,
    Choose(To),
    Run(Option<To>, &'a str),
    Kill(u8),
    Reboot(u8),
    Freeze(u8),
    Thaw(u8),
    Cut(u8),
    Heal,
    Fenced,
    Help,
    Quit,
}

/// Understands a line; an error is for the person.
fn parse(line: &str, nodes: u8) -> Result<Order<'_>, String> {
    let line = line.trim();
    let Some(order) = line.strip_prefix('@') else {
        return Ok(if line.is_empty() { Order::Nothing } else { Order::Run(None, line) });
    };
    let (word, rest) = order.split_once(char::is_whitespace).unwrap_or((order, ""));
    let rest = rest.trim();
    let node = |word: &str| match word.parse() {
        Ok(number) if (1..=nodes).contains(&number) => Ok(number),
        _ => Err(format!("which node? 1 to {nodes}")),
    };
    Ok(match word {
        "kill" => Order::Kill(node(rest)?),
        "reboot" => Order::Reboot(node(rest)?),
        "freeze" => Order::Freeze(node(rest)?),
        "thaw" => Order::Thaw(node(rest)?),
        "cut" => Order::Cut(node(rest)?),
        "heal" => Order::Heal,
        "fenced" => Order::Fenced,
        "help" => Order::Help,
        "quit" => Order::Quit,
        _ => {
            let to = if word == "all" { To::All } else { To::Node(node(word)?) };
            if rest.is_empty() { Order::Choose(to) } else { Order::Run(Some(to), rest) }
        }
    })
}

/// The shells of the nodes.
struct Shells<'a> {
    cluster: &'a Cluster,
    inputs: Vec<PipeWriter>,
    output: Arc<Mutex<io::Stdout>>,
}

/// Does what the lines of the input say, until they end.
///
/// # Errors
///
/// When a shell cannot be started. What a person gets wrong is said and is no error.
pub fn serve(cluster: &Cluster, input: impl BufRead) -> Result<()> {
    let output = Arc::new(Mutex::new(io::stdout()));
    let mut shells = Shells { cluster, inputs: Vec::new(), output };
    for node in cluster.numbers() {
        shells.inputs.push(shells.open(node)?);
    }
    eprintln!("{} nodes are up. @help tells what can be said.", cluster.size());
    let mut chosen = To::Node(1);
    for line in input.lines() {
        let line = line.context("cannot read the input")?;
        let done = match parse(&line, cluster.size()) {
            Ok(Order::Quit) => break,
            Ok(Order::Choose(to)) => {
                chosen = to;
                Ok(())
            }
            Ok(Order::Run(to, command)) => shells.run(to.unwrap_or(chosen), command),
            Ok(order) => shells.obey(&order),
            Err(error) => Err(anyhow::Error::msg(error)),
        };
        if let Err(error) = done {
            eprintln!("{error:#}");
        }
    }
    shells.finish()
}

impl Shells<'_> {
    fn open(&self, node: u8) -> Result<PipeWriter> {
        let command = Command::new("sh").env("NODE", node.to_string());
        let (job, input) = self.cluster.node(node)?.spawn_fed(&command)?;
        let (output, until) = (Arc::clone(&self.output), self.cluster.deadline());
        std::thread::Builder::new().name(format!("shell of node {node}")).spawn(move || {
            show(node, &job, &output, until);
        })?;
        Ok(input)
    }

    fn run(&mut self, to: To, command: &str) -> Result<()> {
        for (node, input) in (1..).zip(&mut self.inputs) {
            if to == To::All || to == To::Node(node) {
                self.cluster.node(node)?;
                let told = input.write_all(format!("{command}\n").as_bytes());
                told.with_context(|| format!("the shell of node {node} has ended"))?;
            }
        }
        Ok(())
    }

    fn obey(&mut self, order: &Order<'_>) -> Result<()> {
        match *order {
            Order::Kill(node) => self.cluster.kill(node),
            Order::Freeze(node) => self.cluster.freeze(node)?,
            Order::Thaw(node) => self.cluster.thaw(node)?,
            Order::Cut(node) => self.cluster.network().isolate(node),
            Order::Heal => self.cluster.network().heal(),
            Order::Fenced => {
                for fenced in self.cluster.fenced() {
                    let ago = fenced.asked.elapsed().as_secs();
                    println!("node {} by node {}, {ago} s ago", fenced.victim, fenced.by);
                }
            }
            Order::Reboot(node) => {
                self.cluster.reboot(node)?;
                let shell = self.open(node)?;
                if let Some(input) = self.inputs.get_mut(usize::from(node).wrapping_sub(1)) {
                    *input = shell;
                }
            }
            Order::Help => print!("{HELP}"),
            Order::Nothing | Order::Choose(_) | Order::Run(..) | Order::Quit => {}
        }
        Ok(())
    }

    /// Ends the shells and waits until those that can have said all.
    fn finish(self) -> Result<()> {
        drop(self.inputs);
        let until = Instant::now() + std::time::Duration::from_secs(60);
        // Each thread has the output until its shell has ended.
        while Arc::strong_count(&self.output) > 1 && Instant::now() < until {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Ok(())
    }
}

fn show(node: u8, job: &Job, output: &Mutex<io::Stdout>, until: Instant) {
    let sink = || Prefixed::new(node, output);
    let (mut out, mut err) = (sink(), sink());
    while let Ok(event) = job.next(until) {
        let shown = match event {
            Event::Stdout(bytes) => out.take(&bytes),
            Event::Stderr(bytes) => err.take(&bytes),
            Event::Exit(_) => break,
        };
        // Nobody looks any more.
        if shown.is_err() {
            return;
        }
    }
    let _ = out.finish().and_then(|()| err.finish());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_for_the_chosen_node_or_begin_with_an_order() {
        assert_eq!(parse(" ls -l \n", 3), Ok(Order::Run(None, "ls -l")));
        assert_eq!(parse("", 3), Ok(Order::Nothing));
        assert_eq!(parse("@2", 3), Ok(Order::Choose(To::Node(2))));
        assert_eq!(parse("@all", 3), Ok(Order::Choose(To::All)));
        assert_eq!(parse("@3 echo  a b", 3), Ok(Order::Run(Some(To::Node(3)), "echo  a b")));
        assert_eq!(parse("@all uptime", 3), Ok(Order::Run(Some(To::All), "uptime")));
        assert_eq!(parse("@kill 2", 3), Ok(Order::Kill(2)));
        assert_eq!(parse("@heal", 3), Ok(Order::Heal));
        for wrong in ["@4", "@0", "@kill", "@kill 4", "@what", "@"] {
            assert!(parse(wrong, 3).is_err(), "{wrong}");
        }
    }
}
