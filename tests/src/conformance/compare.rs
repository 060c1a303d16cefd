//! The comparison of engine and kernel.

use crate::scenario::{Backend, Executor, Observed, Resource};

/// The threads that a script has: the main one and one other.
const THREADS: usize = 2;

/// What came of a step, without what may differ: the numbers of threads.
pub(super) fn comparable<B: Backend>(executor: &mut Executor<B>, observed: Observed) -> Observed {
    match observed {
        Observed::Resource(Some(resource)) => {
            Observed::Resource(Some(without_threads(executor, resource)))
        }
        other => other,
    }
}

/// The resources of a lockspace, with the threads by the numbers that they have in the script.
pub(super) fn resources<B: Backend>(
    executor: &mut Executor<B>,
    space: &str,
) -> Result<Vec<Resource>, String> {
    let all = executor.resources(space)?;
    Ok(all.into_iter().map(|resource| without_threads(executor, resource)).collect())
}

fn without_threads<B: Backend>(executor: &mut Executor<B>, mut resource: Resource) -> Resource {
    for lock in &mut resource.locks {
        let known = (0..THREADS).find(|thread| executor.backend().owner(*thread) == lock.owner);
        lock.owner = known.map_or(u32::MAX, |thread| u32::try_from(thread).unwrap_or(u32::MAX));
    }
    resource
}

/// How two observations differ, for people.
pub(super) fn tell(engine: &Observed, kernel: &Observed) -> String {
    match (engine, kernel) {
        (Observed::Bytes(left, mine), Observed::Bytes(right, theirs)) if left == right => {
            let at = mine.iter().zip(theirs).position(|(mine, theirs)| mine != theirs);
            let at = at.unwrap_or(0);
            format!(
                "byte {at} of the result: {:#04x} in the engine, {:#04x} in the kernel",
                mine.get(at).unwrap_or(&0),
                theirs.get(at).unwrap_or(&0)
            )
        }
        (Observed::Bytes(left, _), Observed::Bytes(right, _)) => {
            format!("the engine's read returns {left:?}, the kernel's {right:?}")
        }
        _ => format!("the engine has {engine:?}, the kernel {kernel:?}"),
    }
}
