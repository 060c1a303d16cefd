//! Uses `dlm_runtime::sync` as the tests of clusters tell it, line by line; each command runs in a thread
//! of its own, and says what comes of it. `sync.rs` has the other end, which keeps the record of terms.

use std::io::{self, BufRead, Write};
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use dlm_runtime::sync::{
    Barrier, Change, Doorbell, Election, Error, Leadership, Presence, Record, Semaphore,
};
use dlm_runtime::{Lockspace, LockspaceOptions};

const USAGE: &str = "\
  space NAME      creates or opens a lockspace
  campaign        leads, in the end
  record N        the answer to a question about the record
  resign
  acquire N       one of N permits
  listen          to all rings
  ring
  arrive N MS     at a barrier of N; gives up after so long
  join NAME
  watch           members
";

/// How long a device node is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The record at the other end.
struct Asked(Mutex<Receiver<u64>>);

impl Asked {
    fn ask(&self, question: &str) -> io::Result<u64> {
        let answers = self.0.lock().map_err(|_| io::ErrorKind::Other)?;
        say("record", question);
        answers.recv().map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Record for Asked {
    fn last(&self) -> io::Result<u64> {
        self.ask("last")
    }

    fn record(&self, number: u64) -> io::Result<()> {
        self.ask(&format!("is {number}")).map(drop)
    }
}

struct Coordinator {
    space: Option<Lockspace>,
    record: Arc<Asked>,
    answers: Sender<u64>,
    leadership: Arc<Mutex<Option<Leadership>>>,
}

fn main() {
    let (answers, asked) = channel();
    let record = Arc::new(Asked(Mutex::new(asked)));
    let mut here =
        Coordinator { space: None, record, answers, leadership: Arc::new(Mutex::new(None)) };
    for line in io::stdin().lock().lines() {
        let line = line.expect("input");
        let words: Vec<&str> = line.split_whitespace().collect();
        here.obey(&words);
    }
}

impl Coordinator {
    fn obey(&mut self, words: &[&str]) {
        match *words {
            ["space", name] => {
                let options = LockspaceOptions::new().timeout(PATIENCE);
                self.space = Some(options.open_or_create(name).expect("a lockspace"));
                say("space", "ok");
            }
            ["record", number] => {
                self.answers.send(number.parse().expect("a number")).expect("somebody asks");
            }
            ["campaign"] => {
                let (record, kept) = (Arc::clone(&self.record), Arc::clone(&self.leadership));
                self.start("campaign", move |space| {
                    let election = Election::open(space, "leader", record).wait()?;
                    let leadership = election.campaign().wait()?;
                    let told = format!("leads {}", leadership.term());
                    *kept.lock().expect("no panic") = Some(leadership);
                    Ok(told)
                });
            }
            ["resign"] => {
                let leadership = self.leadership.lock().expect("no panic").take();
                leadership.expect("a leader").resign().wait().expect("resigned");
                say("resign", "ok");
            }
            ["acquire", permits] => {
                let permits = NonZeroU16::new(permits.parse().expect("a number"));
                self.start("acquire", move |space| {
                    let permits = permits.expect("one at least");
                    let semaphore = Semaphore::open(space, "permits", permits).wait()?;
                    let permit = semaphore.acquire().wait()?;
                    let told = format!("permit {}", permit.number());
                    // Until this program ends.
                    std::mem::forget(permit);
                    Ok(told)
                });
            }
            ["listen"] => self.start("listen", |space| {
                let mut listener = Doorbell::open(space, "bell").wait()?.listen().wait()?;
                say("listen", "begins");
                loop {
                    let ring = listener.hear().wait()?;
                    let number = ring.number().map(|it| it.to_string());
                    say("heard", &number.unwrap_or("what was lost".to_owned()));
                }
            }),
            ["ring"] => self.start("ring", |space| {
                Ok(Doorbell::open(space, "bell").wait()?.ring().wait()?.to_string())
            }),
            ["arrive", parties, ms] => {
                let parties = NonZeroU32::new(parties.parse().expect("a number"));
                let patience = Duration::from_millis(ms.parse().expect("milliseconds"));
                self.start("arrive", move |space| {
                    let parties = parties.expect("one at least");
                    let barrier = Barrier::open(space, "barrier", parties).wait()?;
                    match barrier.arrive().timeout(patience).wait() {
                        Err(error) if error.is_timed_out() => Ok("late".to_owned()),
                        passed => Ok(format!("passed {}", passed?.generation())),
                    }
                });
            }
            ["join", name] => {
                let name = name.to_owned();
                self.start("join", move |space| {
                    let places = NonZeroU16::new(8).expect("eight");
                    let peers = Presence::open(space, "peers", places).wait()?;
                    std::mem::forget(peers.join(&name).wait()?);
                    Ok("ok".to_owned())
                });
            }
            ["watch"] => self.start("watch", |space| {
                let places = NonZeroU16::new(8).expect("eight");
                let mut watch = Presence::open(space, "peers", places).wait()?.watch().wait()?;
                loop {
                    let (what, member) = match watch.next_change().wait()? {
                        Change::Joined(member) => ("joined", member),
                        Change::Left(member) => ("left", member),
                        Change::Died(member) => ("died", member),
                        _ => continue,
                    };
                    say("watch", &format!("{what} {}", member.name()));
                }
            }),
            _ => panic!("what is {words:?}?\n{USAGE}"),
        }
    }

    fn start(
        &self,
        about: &'static str,
        work: impl FnOnce(&Lockspace) -> Result<String, Error> + Send + 'static,
    ) {
        let space = self.space.clone().expect("no lockspace yet");
        thread::spawn(move || match work(&space) {
            Ok(told) => say(about, &told),
            Err(error) => say(about, &format!("error {error}")),
        });
    }
}

/// One write for each line, from whatever thread.
fn say(about: &str, what: &str) {
    // Without the other end there is nobody to tell.
    let _ = io::stdout().lock().write_all(format!("{about} {what}\n").as_bytes());
}
