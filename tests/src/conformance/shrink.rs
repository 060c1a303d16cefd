//! The shortest script that still shows a difference.

use super::differential::{Difference, Differential};
use crate::scenario::{Backend, Step};

/// The most scripts that are tried.
const TRIES: usize = 2000;

/// Leaves out steps as long as there is a difference, any difference.
///
/// # Errors
///
/// What keeps the kernel from going on.
pub fn shrink<K: Backend>(
    differential: &mut Differential<K>,
    script: &[Step],
    difference: Difference,
) -> Result<(Vec<Step>, Difference), String> {
    let mut best = script.get(..difference.steps).unwrap_or(script).to_vec();
    let mut found = difference;
    let mut size = best.len() / 2;
    let mut tries = 0;
    while size > 0 && tries < TRIES {
        let mut at = 0;
        let mut shorter = false;
        while at < best.len() && tries < TRIES {
            let end = (at + size).min(best.len());
            let mut candidate = best.clone();
            candidate.drain(at..end);
            tries += 1;
            match differential.run(&candidate)? {
                Some(difference) => {
                    candidate.truncate(difference.steps);
                    (best, found, shorter) = (candidate, difference, true);
                }
                None => at += size,
            }
        }
        // Single steps are tried until none can go.
        if size > 1 || !shorter {
            size /= 2;
        }
    }
    Ok((best, found))
}
