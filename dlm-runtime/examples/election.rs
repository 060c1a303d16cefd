//! Elects a leader: whoever holds EX on one resource leads, and the lock value block counts terms.
//!
//! Three candidates stand for election (`dlm_runtime::sync::Election`). A leader steps down when somebody
//! else stands in line. Each leadership has a term, a number that no other leader ever uses, and that
//! everything done in a leader's name can carry: a fencing token.
//!
//! One leader dies in office, after its term began and before it could store the number in the lock value
//! block. The kernel then marks the block invalid; the successor finds the last term where leaders leave
//! their traces: here, in a journal.
//!
//! `cargo xtask vm run --add target/debug/examples -- /examples/election`
//!
//! With a name the example is one candidate, for a node of a cluster. There is no journal there, so it is
//! done by hand, with locks alone: a dead leader may have begun one term more than it stored, and its
//! successor leaves that one out.
//!
//! `cargo xtask vm run --nodes 3 --add target/debug/examples -- sh -c '/examples/election $NODE 20'`

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

use dlm_runtime::sync::{self, Election};
use dlm_runtime::{Lockspace, LockspaceOptions, Mode, ValueBlock};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "\
usage: election
       election NAME TERMS

Three candidates lead in turn; the leader of the third term dies as it begins.
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
    last_term: AtomicU64,
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
}

/// The journal as a candidate sees it, who dies when it has recorded the fatal term.
struct Record {
    journal: Arc<Journal>,
    name: &'static str,
    lockspace: Lockspace,
}

impl sync::Record for Record {
    fn last(&self) -> io::Result<u64> {
        Ok(self.journal.last_term.load(Ordering::SeqCst))
    }

    fn record(&self, number: u64) -> io::Result<()> {
        self.journal.last_term.store(number, Ordering::SeqCst);
        if number == FATAL {
            println!("{} dies at the beginning of term {number}", self.name);
            // As the end of the process would do it.
            self.lockspace.close().map_err(io::Error::other)?;
        }
        Ok(())
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
    let (mut ended, mut died) = (0, 0);
    for end in ends {
        ended += 1;
        died += u32::from(end?);
    }
    let entries = journal.entries.lock().map_err(|_| "a leader panicked")?;
    let terms = entries.iter().map(|(term, _)| *term);
    let is_counted = terms.eq((1..=TERMS).filter(|term| *term != FATAL));
    let is_kept =
        |pair: &[_]| matches!(pair, [(a, one), (b, other)] if a + 1 == *b && one == other);
    let handed_over = !entries.windows(2).any(is_kept);
    if ended != CANDIDATES.len() || !is_counted || !handed_over || died != 1 {
        return Err(format!("not what was to happen: {entries:?}, {died} died").into());
    }
    lockspace.release()?;
    println!("{TERMS} terms, none of them twice");
    Ok(())
}

/// A candidate's life. Tells whether it has died.
fn stand(name: &'static str, journal: &Arc<Journal>) -> Result<bool> {
    // Each open lockspace is a party of its own. Usually they are in different processes or nodes.
    let lockspace = LockspaceOptions::new().open(LOCKSPACE)?;
    let record = Record { journal: Arc::clone(journal), name, lockspace: lockspace.clone() };
    let election = Election::open(&lockspace, "leader", record).wait()?;
    while journal.last_term.load(Ordering::SeqCst) < TERMS {
        let leadership = match election.campaign().wait() {
            Err(error) if error.is_closed() => return Ok(true),
            leadership => leadership?,
        };
        if leadership.term() > TERMS {
            break;
        }
        journal.begin(leadership.term(), name)?;
        if leadership.term() < TERMS {
            // Sleeps until somebody else wants to lead.
            leadership.challenged().wait()?;
        }
        journal.end();
        leadership.resign().wait()?;
    }
    Ok(false)
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
