//! The work on a cached lock, from its guard to the end of that. The lock stays where it is.

use super::work::{Asked, Worker};
use anyhow::Result;
use dlm_chaos::plan::RESOURCES;
use dlm_proto::Mode;
use dlm_random::Random;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What is done with a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Reads,
    Writes,
    /// It gives up before long.
    Deadline,
    /// A reader's, that becomes a writer's and a reader's again.
    Upgrades,
}

/// The uses, each as often as it is drawn.
const USES: [Use; 6] =
    [Use::Reads, Use::Reads, Use::Writes, Use::Writes, Use::Deadline, Use::Upgrades];

impl Worker {
    /// One guard.
    pub(super) fn cached(&self, random: &mut Random, number: u64, name: &str) -> Result<()> {
        let history = &self.scene.history;
        let kind = *random.pick(&USES);
        let resource = *random.pick(&RESOURCES);
        let (mode, limit) = match kind {
            Use::Reads | Use::Upgrades => (Mode::Pr, ""),
            Use::Writes => (Mode::Ex, ""),
            Use::Deadline => (Mode::Ex, " ms=100"),
        };
        let at_least = history.committed(resource);
        let guard = Asked { number, name: name.to_owned(), resource, at_least };
        let words = format!("cached {name} {resource} {mode}{limit}");
        let line = self.ask(name, &words, &["granted ", "timedout "])?;
        if !line.text.contains(" granted ") {
            return Ok(());
        }
        self.scene.guards.fetch_add(1, Ordering::Relaxed);
        let mut read = self.granted(&guard, mode, &line)?;
        std::thread::sleep(Duration::from_millis(random.below(20)));
        if kind == Use::Upgrades {
            read = self.upgraded(&guard, read)?;
        }
        let written = match kind {
            Use::Reads if read.1 => None,
            // A reader cannot mend an invalid block.
            Use::Reads => {
                self.drop_guard(&guard, None)?;
                return self.mend(&guard);
            }
            Use::Writes | Use::Deadline => Some(history.next_value(resource, read.0, read.1)),
            Use::Upgrades => {
                self.downgraded(&guard, read)?;
                std::thread::sleep(Duration::from_millis(random.below(20)));
                None
            }
        };
        self.drop_guard(&guard, written)
    }

    /// Ends the guard, and with it the write of a value.
    fn drop_guard(&self, guard: &Asked, written: Option<u64>) -> Result<()> {
        let Asked { number, ref name, resource, .. } = *guard;
        let write = written.map(|value| format!(" write={value}")).unwrap_or_default();
        self.scene.history.gives_up(resource, number);
        self.ask(name, &format!("done {name}{write}"), &["dropped"])?;
        if let Some(value) = written {
            self.scene.history.wrote(resource, value);
        }
        Ok(())
    }

    /// Writes a block that was told to be invalid.
    fn mend(&self, guard: &Asked) -> Result<()> {
        let Asked { ref name, resource, .. } = *guard;
        let history = &self.scene.history;
        let guard = Asked { at_least: history.committed(resource), name: name.clone(), ..*guard };
        let line = self.ask(name, &format!("cached {name} {resource} EX"), &["granted "])?;
        let (value, valid) = self.granted(&guard, Mode::Ex, &line)?;
        self.drop_guard(&guard, Some(history.next_value(resource, value, valid)))
    }

    /// From the shared guard to the exclusive one. Returns what is read under that.
    fn upgraded(&self, guard: &Asked, read: (u64, bool)) -> Result<(u64, bool)> {
        let Asked { number, ref name, resource, .. } = *guard;
        let history = &self.scene.history;
        let guard = Asked { at_least: history.committed(resource), name: name.clone(), ..*guard };
        // Somebody else may come between, and that would be told.
        history.gives_up(resource, number);
        let line = self.ask(name, &format!("upgrade {name}"), &["upgraded "])?;
        let again = self.granted(&guard, Mode::Ex, &line)?;
        if line.text.contains(" kept ") && again != read {
            let what = format!("{name}: {read:?} was kept, and is {again:?}");
            history.violation(&what);
        }
        Ok(again)
    }

    /// From the exclusive guard to the shared one, with a new value.
    fn downgraded(&self, guard: &Asked, read: (u64, bool)) -> Result<()> {
        let Asked { number, ref name, resource, .. } = *guard;
        let history = &self.scene.history;
        let value = history.next_value(resource, read.0, read.1);
        // No more than what it becomes from here on.
        history.gives_up(resource, number);
        let is_off = |owner| self.scene.is_off(owner);
        history.granted(resource, self.owner, number, Mode::Pr, is_off);
        self.ask(name, &format!("downgrade {name} write={value}"), &["downgraded"])?;
        history.wrote(resource, value);
        Ok(())
    }
}
