//! Elects a leader: whoever holds EX on one resource leads, and the lock value block counts terms.
//!
//! Three candidates stand for election. A leader steps down when a blocking notice says that
//! somebody else stands; the waiting line of the lock decides who follows. A new leader adds one to
//! the term in the lock value block, so that everything done in a leader's name can carry a number
//! that no other leader ever uses: a fencing token.
//!
//! One leader dies in office, after its term began and before it could store the number. The kernel
//! then marks the block invalid. The successor sees that, takes the bytes for what they are, old,
//! and finds the last term where leaders leave their traces: here, in a journal.
//!
//! `cargo xtask vm run --add target/debug/examples -- /examples/election`
//!
//! With a name the example is one candidate, for a node of a cluster. There is no journal there, and
//! a dead leader may have begun one term more than it stored: its successor leaves that one out.
//!
//! `cargo xtask vm run --nodes 3 --add target/debug/examples -- sh -c '/examples/election $NODE 20'`

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

use dlm_runtime::{Lockspace, LockspaceOptions, Mode, ValueBlock};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "\
usage: election
       election NAME TERMS

Three candidates lead in turn; the leader of the third term dies in office.
With a name: one candidate, of several on the nodes of a cluster, until that many terms are over.
";
const LOCKSPACE: &str = "election";
const CANDIDATES: [&str; 3] = ["anna", "ben", "carl"];
const TERMS: u64 = 8;
/// The term whose leader dies.
const FATAL: u64 = 3;

/// What leaders leave behind. A real service has this in its data.
#[derive(Default)]
struct Journal {
    entries: Mutex<Vec<(u64, &'static str)>>,
    somebody_leads: AtomicBool,
}

impl Journal {
    fn begin(&self, term: u64, leader: &'static str) -> Result<()> {
        if self.somebody_leads.swap(true, Ordering::SeqCst) {
            return Err("two leaders at the same time".into());
        }
        println!("term {term}: {leader} leads");
        self.entries.lock().map_err(|_| "a leader panicked")?.push((term, leader));
        Ok(())
    }

    fn end(&self) {
        self.somebody_leads.store(false, Ordering::SeqCst);
    }

    fn last_term(&self) -> Result<u64> {
        let entries = self.entries.lock().map_err(|_| "a leader panicked")?;
        Ok(entries.last().map_or(0, |(term, _)| *term))
    }
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let outcome = match *words.as_slice() {
        [] => run(),
        ["-h" | "--help"] => {
            print!("{USAGE}");
            Ok(())
        }
        [name, terms] => terms.parse().map_err(Into::into).and_then(|terms| campaign(name, terms)),
        _ => Err("what is that? (--help tells more)".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("election: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let lockspace = Lockspace::create(LOCKSPACE)?;
    let journal = Arc::new(Journal::default());
    let (sender, ends) = channel();
    for name in CANDIDATES {
        let (journal, sender) = (Arc::clone(&journal), sender.clone());
        thread::spawn(move || _ = sender.send(stand(name, &journal)));
    }
    drop(sender);
    let (mut ended, mut rebuilt) = (0, 0);
    for end in ends {
        ended += 1;
        rebuilt += end?;
    }
    let entries = journal.entries.lock().map_err(|_| "a leader panicked")?;
    let counted = entries.iter().map(|(term, _)| *term).eq(1..=TERMS);
    let handed_over = entries.windows(2).all(|pair| matches!(pair, [a, b] if a.1 != b.1));
    if ended != CANDIDATES.len() || !counted || !handed_over || rebuilt != 1 {
        return Err(format!("not what was to happen: {entries:?}, rebuilt {rebuilt} times").into());
    }
    lockspace.release()?;
    println!("{TERMS} terms, each once; the term was rebuilt {rebuilt} time");
    Ok(())
}

/// A candidate's life. Returns how often it had to rebuild the term.
fn stand(name: &'static str, journal: &Journal) -> Result<u32> {
    // Each open lockspace is a party of its own. Usually they are in different processes or nodes.
    let lockspace = LockspaceOptions::new().open(LOCKSPACE)?;
    // NL competes with nobody. It keeps the resource, and with it the lock value block, alive.
    let lock = lockspace.lock("leader", Mode::Nl).note_blocking().wait()?;
    let mut rebuilt = 0;
    loop {
        let elected = lock.convert(Mode::Ex).read_lvb().wait()?;
        let lvb = elected.lvb.ok_or("the election brought no lock value block")?;
        let last = if lvb.valid {
            term_in(lvb.block)?
        } else {
            let (stale, last) = (term_in(lvb.block)?, journal.last_term()?);
            println!("{name} finds the block invalid: {stale} is old, the last term was {last}");
            if (stale, last) != (FATAL - 1, FATAL) {
                return Err("that is not how the last leader died".into());
            }
            rebuilt += 1;
            last
        };
        if last == TERMS {
            lock.unlock().wait()?;
            return Ok(rebuilt);
        }
        journal.begin(last + 1, name)?;
        if last + 1 == FATAL {
            journal.end();
            println!("{name} dies");
            // As the end of the process would do it.
            lockspace.close()?;
            return Ok(rebuilt);
        }
        // From EX to EX, with the block: stored at once, and valid from now on.
        lock.convert(Mode::Ex).write_lvb(block(last + 1)?).wait()?;
        // Sleeps until somebody else wants the lock.
        lock.wait_blocked(None)?;
        journal.end();
        lock.convert(Mode::Nl).wait()?;
    }
}

/// The life of a candidate on a node of a cluster.
fn campaign(name: &str, terms: u64) -> Result<()> {
    let lockspace = LockspaceOptions::new().open_or_create(LOCKSPACE)?;
    // With the block, here and in the conversion below: a NL lock on another node is what is left
    // of the block when the node is lost that keeps it for all.
    let lock = lockspace.lock("leader", Mode::Nl).with_lvb().note_blocking().wait()?;
    loop {
        let elected = lock.convert(Mode::Ex).read_lvb().wait()?;
        let lvb = elected.lvb.ok_or("the election brought no lock value block")?;
        let term = term_in(lvb.block)? + if lvb.valid { 1 } else { 2 };
        if term > terms {
            lock.unlock().wait()?;
            return Ok(());
        }
        println!("term {term}: {name} leads");
        lock.convert(Mode::Ex).write_lvb(block(term)?).wait()?;
        lock.wait_blocked(None)?;
        lock.convert(Mode::Nl).write_lvb(block(term)?).wait()?;
    }
}

fn block(term: u64) -> Result<ValueBlock> {
    Ok(ValueBlock::ZERO.with_u64_at(0, term).ok_or("the block is too short")?)
}

fn term_in(block: ValueBlock) -> Result<u64> {
    Ok(block.u64_at(0).ok_or("the block is too short")?)
}
