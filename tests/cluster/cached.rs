//! Guards of a cache of locks, by the names that they were given.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use dlm_runtime::cache::{LockCache, OwnedExclusiveGuard, OwnedSharedGuard};
use dlm_runtime::{Error, Lockspace};

use super::{PATIENCE, block, say, shown};

pub(crate) struct Cached {
    cache: LockCache,
    guards: Arc<Mutex<HashMap<String, Guard>>>,
}

enum Guard {
    Shared(OwnedSharedGuard),
    Exclusive(OwnedExclusiveGuard),
}

impl Guard {
    fn value(&self) -> String {
        let lvb = match self {
            Self::Shared(guard) => guard.value_block(),
            Self::Exclusive(guard) => guard.value_block(),
        };
        lvb.map(shown).unwrap_or_default()
    }

    /// Stores a value block, if it may and is to.
    fn write(&mut self, text: Option<&str>) {
        match (self, text) {
            (Self::Exclusive(guard), Some(text)) => guard.set_value_block(block(text)),
            (Self::Shared(_), Some(text)) => panic!("a shared guard writes {text}"),
            (_, None) => {}
        }
    }
}

impl Cached {
    pub(crate) fn new(space: &Lockspace) -> Self {
        let cache = LockCache::builder(space).start().expect("a cache");
        Self { cache, guards: Arc::default() }
    }

    fn guards(&self) -> MutexGuard<'_, HashMap<String, Guard>> {
        self.guards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, name: &str) -> Guard {
        self.guards().remove(name).expect("a guard")
    }

    /// Does what takes a while in a thread of its own, and says the word for it.
    fn start(
        &self,
        name: &str,
        work: impl FnOnce() -> Result<(String, Guard), Error> + Send + 'static,
    ) {
        let (name, guards) = (name.to_owned(), Arc::clone(&self.guards));
        thread::spawn(move || match work() {
            Ok((word, guard)) => {
                let text = format!("{word}{}", guard.value());
                guards.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), guard);
                say(&name, &text);
            }
            Err(error) if error.is_timed_out() => say(&name, "timedout -"),
            Err(error) => say(&name, &format!("error {error}")),
        });
    }

    pub(crate) fn acquire(&self, name: &str, resource: &str, mode: &str, limit: Option<u64>) {
        let resource = self.cache.resource(resource).expect("a resource").owned();
        let limit = limit.map_or(PATIENCE, Duration::from_millis);
        match mode {
            "PR" => self.start(name, move || {
                let guard = resource.shared().timeout(limit).wait()?;
                Ok(("granted PR".to_owned(), Guard::Shared(guard)))
            }),
            "EX" => self.start(name, move || {
                let guard = resource.exclusive().timeout(limit).wait()?;
                Ok(("granted EX".to_owned(), Guard::Exclusive(guard)))
            }),
            _ => panic!("the cache has no {mode}"),
        }
    }

    pub(crate) fn upgrade(&self, name: &str) {
        let Guard::Shared(guard) = self.take(name) else { panic!("{name} is no shared guard") };
        self.start(name, move || {
            let upgrade = guard.upgrade().wait()?;
            let word = if upgrade.is_lost() { "lost" } else { "kept" };
            Ok((format!("upgraded {word} EX"), Guard::Exclusive(upgrade.into_guard())))
        });
    }

    pub(crate) fn downgrade(&self, name: &str, write: Option<&str>) {
        let mut guard = self.take(name);
        guard.write(write);
        let Guard::Exclusive(guard) = guard else { panic!("{name} is no exclusive guard") };
        self.guards().insert(name.to_owned(), Guard::Shared(guard.downgrade()));
        say(name, "downgraded");
    }

    pub(crate) fn done(&self, name: &str, write: Option<&str>) {
        let mut guard = self.take(name);
        guard.write(write);
        drop(guard);
        say(name, "dropped");
    }

    /// Gives everything back.
    pub(crate) fn close(&self) {
        self.guards().clear();
        self.cache.close(PATIENCE).expect("closed");
    }
}
