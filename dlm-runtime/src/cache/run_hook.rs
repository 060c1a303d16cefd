//! Running the hooks of a resource.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::cause::Cause;
use super::hooks::{Acquired, CanEnd as _, Demotion, Hooks};
use super::level::Level;
use super::machine::Action;
use super::shared::Entry;
use crate::error::ErrorKind;

impl Entry {
    /// Runs the hook for this, in a thread of the cache.
    pub(super) fn run_hook(self: &Arc<Self>, action: Action) {
        match action {
            Action::Load { from, to } => {
                let loaded = self.guard_hook(|entry| {
                    let hooks = entry.hooks();
                    let block = entry.block();
                    let acquired = Acquired { name: &entry.name, from, to, block };
                    hooks.map_or(Ok(()), |hooks| hooks.on_acquire(&acquired))
                });
                let is_loaded = loaded.is_ok();
                if !is_loaded {
                    self.cache.counts.failed_loads.add();
                }
                self.tell(|slow, word, now, turn| {
                    slow.failure = loaded.err().map(|error| Box::new(ErrorKind::System(error)));
                    slow.machine.loaded(word, now, is_loaded, turn);
                });
            }
            Action::Flush { cause, .. } if cause != Cause::Lost && self.has_ended() => {
                // The cache is about to hear of it. Nothing may be written.
                self.lose();
                self.tell(|slow, word, now, turn| slow.machine.flushed(word, now, false, turn));
            }
            Action::Flush { to, cause, attempt } => {
                let flushed = self.guard_hook(|entry| {
                    let hooks = entry.hooks();
                    let held = entry.state().get().map(|slow| slow.machine.held());
                    let from = held.unwrap_or(Level::None);
                    let (name, block) = (&*entry.name, entry.block());
                    let mut demotion = Demotion {
                        name,
                        from,
                        left: to,
                        cause,
                        attempt,
                        block,
                        written: None,
                        lock: entry,
                    };
                    let done = hooks.map_or(Ok(()), |hooks| hooks.on_demote(&mut demotion));
                    done.map(|()| demotion.written)
                });
                if flushed.is_err() {
                    self.cache.counts.failed_demotions.add();
                }
                self.tell(|slow, word, now, turn| {
                    let is_done = flushed.is_ok();
                    if let Ok(Some(block)) = flushed {
                        slow.written = Some(Box::new(block));
                    }
                    slow.machine.flushed(word, now, is_done, turn);
                });
            }
            Action::Raise { .. } | Action::Lower { .. } | Action::Cancel => {}
        }
    }

    /// Those of the resource's value, or else of the cache.
    fn hooks(&self) -> Option<Arc<dyn Hooks>> {
        let own = self.state().get().and_then(|slow| slow.own_hooks.clone());
        own.or_else(|| self.cache.hooks.clone())
    }

    /// A panic of a hook is counted, and is a failure.
    fn guard_hook<T>(&self, hook: impl FnOnce(&Self) -> io::Result<T>) -> io::Result<T> {
        catch_unwind(AssertUnwindSafe(|| hook(self))).unwrap_or_else(|payload| {
            self.cache.driver.discard_panic(payload);
            Err(io::Error::other("a hook of the cache has panicked"))
        })
    }
}
