//! The coverage of what scripts have led to, to see that they leave nothing out.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Result as Written};

use crate::scenario::{Backend, Executor, Observed, Step, Wanted};

/// How often each thing has come.
#[derive(Debug, Clone, Default)]
pub struct Coverage(BTreeMap<String, u64>);

impl Coverage {
    /// Counts what came of a step.
    pub(super) fn count<B: Backend>(
        &mut self,
        executor: &Executor<B>,
        step: &Step,
        observed: &Observed,
    ) {
        match (step, observed) {
            (Step::Ask { .. }, Observed::Answer(Err(errno))) => {
                self.add(errno.name().unwrap_or("other error"));
            }
            (Step::Gets { .. }, Observed::Bytes(Ok(_), _)) => {
                let Step::Gets { wanted, .. } = executor.record(step, observed) else { return };
                let text = match wanted {
                    Wanted::Completion(result) => format!("x {:?}{result}", result.status),
                    Wanted::Notice(_, result) => format!("x blocking{result}"),
                    Wanted::Nothing | Wanted::Anything => return,
                };
                for word in text.split_whitespace().skip(1) {
                    self.add(&word.split('=').next().unwrap_or(word).to_lowercase());
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, what: &str) {
        match self.0.get_mut(what) {
            Some(count) => *count += 1,
            None => drop(self.0.insert(what.to_owned(), 1)),
        }
    }
}

/// The counts, the most frequent first.
impl Display for Coverage {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        let mut all: Vec<_> = self.0.iter().map(|(what, count)| (count, what)).collect();
        all.sort_by(|left, right| right.cmp(left));
        let words: Vec<_> = all.iter().map(|(count, what)| format!("{count} {what}")).collect();
        f.write_str(&words.join(", "))
    }
}
