//! Works on locks as the tests of clusters tell it, line by line, and says in lines what happens.
//!
//! A line on its input is a command, and each answer begins with the name of what it is about, so
//! that answers can come in any order. `main.rs` has the other end.

mod cached;

use std::collections::HashMap;
use std::io::BufRead;
use std::time::Duration;

use dlm_proto::{LockFlags, LockId, LockStatus};
use dlm_runtime::{
    Completion, DeliveryThread, Error, Lock, Lockspace, LockspaceOptions, Lvb, Mode, ValueBlock,
};
use dlm_tests::Session;

use cached::Cached;

const USAGE: &str = "\
  space NAME                      creates or opens a lockspace
  drop                            unlocks everything
  leave [force]                   releases the lockspace; force: although other nodes have locks
                                  of which this one is the master
  lock L RESOURCE MODE [OPTION].. asks for a lock: lvb, noqueue, ms=N (a deadline)
  convert L MODE [OPTION]..       read, write=TEXT, noqueue
  unlock L [write=TEXT]
  cancel L
  persist L                       it outlives this program
  mode L                          what this program believes to hold
  adopt L RESOURCE MODE
  purge [NODE]
  cached L RESOURCE PR|EX [ms=N]  takes a guard of the cache of locks
  upgrade L                       from PR to EX
  downgrade L [write=TEXT]
  done L [write=TEXT]
  uncache                         gives all cached locks back
  status
  raw lock|convert|unlock ...     without dlm-runtime: N RESOURCE MODE; N MODE; N [force|cancel]
  raw next                        the next result
";

/// How long a device node and a purge's effect are waited for.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let mut peer = Peer::default();
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("input");
        let words: Vec<&str> = line.split_whitespace().collect();
        peer.obey(&words);
    }
}

#[derive(Default)]
struct Peer {
    // Dropped in this order.
    locks: HashMap<String, Lock>,
    cached: Option<Cached>,
    raw: Option<Raw>,
    delivery: Option<DeliveryThread>,
    space: Option<Lockspace>,
}

/// A session of its own, and the locks in it by the number that their requests carry.
struct Raw {
    session: Session<'static>,
    ids: HashMap<u8, LockId>,
}

impl Peer {
    fn obey(&mut self, words: &[&str]) {
        match *words {
            ["space", name] => self.open(name),
            ["lock", name, resource, mode, ref options @ ..] => {
                self.lock(name, resource, parse_mode(mode), options);
            }
            ["convert", name, mode, ref options @ ..] => {
                self.convert(name, parse_mode(mode), options);
            }
            ["unlock", name, ref options @ ..] => self.unlock(name, options),
            ["cancel", name] => match self.locks.get(name).expect("a lock").cancel() {
                Ok(()) => say(name, "cancelling"),
                Err(error) => say(name, &format!("cannot cancel: {error}")),
            },
            ["persist", name] => match self.locks.get(name).expect("a lock").persist() {
                Ok(()) => say(name, "persists"),
                Err(error) => refused(name, &error),
            },
            ["mode", name] => {
                let mode = self.locks.get(name).expect("a lock").mode();
                say(name, &mode.map_or("holds nothing".to_owned(), |mode| format!("holds {mode}")));
            }
            ["adopt", name, resource, mode] => {
                let tag = name.to_owned();
                let request = self.space().adopt(resource, parse_mode(mode));
                let request = request.on_blocking(move |blocking| {
                    say(&tag, &format!("blocks {}", blocking.mode));
                });
                match request.take() {
                    Ok(lock) => {
                        say(name, "adopted");
                        self.locks.insert(name.to_owned(), lock);
                    }
                    Err(error) => say(name, &format!("error {error}")),
                }
            }
            ["purge"] => self.purge(None),
            ["purge", node] => self.purge(Some(node.parse().expect("a node"))),
            ["cached", name, resource, mode, ref limit @ ..] => {
                let limit = limit.first().and_then(|it| it.strip_prefix("ms="));
                let limit = limit.map(|it| it.parse().expect("milliseconds"));
                self.cached().acquire(name, resource, mode, limit);
            }
            ["upgrade", name] => self.cached().upgrade(name),
            ["downgrade", name, ref write @ ..] => {
                self.cached().downgrade(name, written(write));
            }
            ["done", name, ref write @ ..] => self.cached().done(name, written(write)),
            ["uncache"] => {
                self.close_cache();
                say("uncache", "ok");
            }
            ["drop"] => {
                self.close_cache();
                // Others were refused or cancelled.
                for (_, lock) in self.locks.drain().filter(|(_, lock)| lock.mode().is_some()) {
                    lock.unlock().wait().expect("unlocked");
                }
                say("drop", "ok");
            }
            ["leave", ref how @ ..] => self.leave(!how.is_empty()),
            ["status"] => {
                let status = self.space().status();
                let members: Vec<_> = status.members.iter().map(|node| node.0).collect();
                let waits = status.waiting_for.map(|node| node.0);
                say("status", &format!("{:?} {members:?} waiting for {waits:?}", status.state));
            }
            ["raw", ref words @ ..] => self.raw(words),
            _ => panic!("what is {words:?}?\n{USAGE}"),
        }
    }

    fn space(&self) -> &Lockspace {
        self.space.as_ref().expect("no lockspace yet")
    }

    fn cached(&mut self) -> &Cached {
        let space = self.space.as_ref().expect("no lockspace yet");
        self.cached.get_or_insert_with(|| Cached::new(space))
    }

    fn close_cache(&mut self) {
        if let Some(cached) = self.cached.take() {
            cached.close();
        }
    }

    fn open(&mut self, name: &str) {
        match LockspaceOptions::new().timeout(PATIENCE).open_or_create(name) {
            Ok(space) => {
                self.delivery = Some(space.start_delivery().expect("a thread"));
                self.space = Some(space);
                say("space", "ok");
            }
            Err(error) => say("space", &format!("error {error}")),
        }
    }

    fn leave(&mut self, force: bool) {
        self.delivery = None;
        let space = self.space.take().expect("a lockspace");
        match if force { space.force_release() } else { space.release() } {
            Ok(()) => say("leave", "ok"),
            Err(error) => say("leave", &format!("error {error}")),
        }
    }

    fn lock(&mut self, name: &str, resource: &str, mode: Mode, options: &[&str]) {
        let space = self.space.as_ref().expect("no lockspace yet");
        let (tag, blocked) = (name.to_owned(), name.to_owned());
        let mut request = space
            .lock(resource, mode)
            .on_blocking(move |blocking| say(&blocked, &format!("blocks {}", blocking.mode)));
        for option in options {
            request = match option.split_once('=') {
                None if *option == "lvb" => request.with_lvb(),
                None if *option == "noqueue" => request.no_queue(),
                Some(("ms", ms)) => {
                    request.timeout(Duration::from_millis(ms.parse().expect("milliseconds")))
                }
                _ => panic!("what is {option}?"),
            };
        }
        let started = request.start(move |completion| report(&tag, "granted", completion));
        match started {
            Ok(lock) => drop(self.locks.insert(name.to_owned(), lock)),
            Err(error) => refused(name, &error),
        }
    }

    fn convert(&mut self, name: &str, mode: Mode, options: &[&str]) {
        let lock = self.locks.get(name).expect("a lock");
        let mut request = lock.convert(mode);
        for option in options {
            request = match option.split_once('=') {
                None if *option == "read" => request.read_lvb(),
                None if *option == "noqueue" => request.no_queue(),
                Some(("write", text)) => request.write_lvb(block(text)),
                _ => panic!("what is {option}?"),
            };
        }
        let tag = name.to_owned();
        if let Err(error) = request.start(move |completion| report(&tag, "converted", completion)) {
            refused(name, &error);
        }
    }

    fn unlock(&mut self, name: &str, options: &[&str]) {
        let mut request = self.locks.remove(name).expect("a lock").unlock();
        for option in options {
            request = match option.split_once('=') {
                Some(("write", text)) => request.write_lvb(block(text)),
                _ => panic!("what is {option}?"),
            };
        }
        let tag = name.to_owned();
        if let Err(error) = request.start(move |_| say(&tag, "unlocked")) {
            say(name, &format!("error {error}"));
        }
    }

    fn purge(&self, node: Option<u32>) {
        match self.space().purge(node.map(dlm_proto::NodeId), None) {
            Ok(()) => say("purge", "ok"),
            Err(error) => say("purge", &format!("error {error}")),
        }
    }

    fn raw(&mut self, words: &[&str]) {
        let name = self.space().name().to_string();
        let raw = self.raw.get_or_insert_with(|| {
            // Kept until the process ends, as the session's owner.
            let space = Box::leak(Box::new(dlm_tests::Lockspace::named(&name)));
            Raw { session: space.open(), ids: HashMap::new() }
        });
        let number = |word: &str| word.parse::<u8>().expect("a number");
        match *words {
            ["lock", n, resource, mode] => {
                let n = number(n);
                let answer =
                    raw.session.try_lock(resource, parse_mode(mode), LockFlags::empty(), n);
                if let Ok(id) = answer {
                    raw.ids.insert(n, id);
                }
                raw_answer(n, answer.map(drop));
            }
            ["convert", n, mode] => {
                let id = raw.ids[&number(n)];
                let flags = LockFlags::empty();
                let answer = raw.session.try_convert(id, parse_mode(mode), flags, number(n));
                raw_answer(number(n), answer);
            }
            ["unlock", n, ref how @ ..] => {
                let flags = match how {
                    ["force"] => LockFlags::FORCEUNLOCK,
                    ["cancel"] => LockFlags::CANCEL,
                    _ => LockFlags::empty(),
                };
                let id = raw.ids[&number(n)];
                raw_answer(number(n), raw.session.try_unlock(id, flags, number(n)));
            }
            ["next"] => {
                let outcome = raw.session.next();
                say("raw", &format!("result {} {}", outcome.param & 0xff, word(outcome.status)));
            }
            ["now"] => match raw.session.now() {
                None => say("raw", "nothing"),
                Some(outcome) => {
                    say(
                        "raw",
                        &format!("result {} {}", outcome.param & 0xff, word(outcome.status)),
                    );
                }
            },
            _ => panic!("what is raw {words:?}?\n{USAGE}"),
        }
    }
}

/// What `write=TEXT` says, if it is there.
fn written<'a>(options: &[&'a str]) -> Option<&'a str> {
    let option = *options.first()?;
    Some(option.strip_prefix("write=").unwrap_or_else(|| panic!("what is {option}?")))
}

fn raw_answer(n: u8, answer: Result<(), dlm_sys::Errno>) {
    match answer {
        Ok(()) => say("raw", &format!("taken {n}")),
        Err(errno) => {
            say("raw", &format!("refused {n} {}", errno.name().unwrap_or("unknown")));
        }
    }
}

/// One write for each line, from whatever thread.
fn say(about: &str, what: &str) {
    use std::io::Write;
    let line = format!("{about} {what}\n");
    // Without the other end there is nobody to tell.
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

fn refused(name: &str, error: &Error) {
    say(name, &format!("error {error}"));
}

fn report(name: &str, granted: &str, completion: Completion) {
    let granted = granted.to_owned();
    let what = if completion.is_granted() { granted } else { word(completion.status) };
    let mode = completion.mode.map_or("-".to_owned(), |mode| mode.to_string());
    let lvb = completion.lvb.map(shown).unwrap_or_default();
    say(name, &format!("{what} {mode}{lvb}"));
}

fn word(status: LockStatus) -> String {
    format!("{status:?}").to_lowercase()
}

fn shown(lvb: Lvb) -> String {
    let text: Vec<u8> = lvb.block.0.iter().copied().take_while(|byte| *byte != 0).collect();
    let valid = if lvb.valid { "valid" } else { "invalid" };
    format!(" [{}] {valid}", String::from_utf8_lossy(&text))
}

fn parse_mode(name: &str) -> Mode {
    let named = |mode: &Mode| mode.name() == name;
    Mode::ALL.into_iter().find(named).unwrap_or_else(|| panic!("no mode {name}"))
}

fn block(text: &str) -> ValueBlock {
    ValueBlock::from_prefix(text.as_bytes()).expect("32 bytes at most")
}
