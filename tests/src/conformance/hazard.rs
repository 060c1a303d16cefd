//! Requests that a kernel must not be sent.
//!
//! Hazards that generated scripts cannot reach, by their making, are not looked for here:
//! FORCEUNLOCK in a request (#force-on-a-request), names and minor numbers (#slash-in-a-name,
//! #minor-zero), short requests and buffers (#unchecked-lengths).

use std::collections::BTreeMap;

use dlm_proto::{LockFlags, ModeCode};

use crate::scenario::{
    Ask, Backend, Device, Executor, Lock, LockRef, Name, Observed, Queue, Step, What,
};

/// Which session each lock belongs to that is none of an orphan: by lockspace and id.
pub(super) type Owners = BTreeMap<(Name, u32), Name>;

/// Why a step must not be done now, if so. The state is the engine's.
pub(super) fn reason<B: Backend>(
    step: &Step,
    engine: &mut Executor<B>,
    owners: &Owners,
) -> Result<Option<&'static str>, String> {
    match step {
        Step::Close { sessions } => {
            for session in sessions {
                if waits_persistently(session, engine, owners)? {
                    return Ok(Some(
                        "#waiting-persistent-orphan: a persistent request waits in a session that closes",
                    ));
                }
            }
            Ok(None)
        }
        Step::Ask { device: Device::Session(session), ask, .. } => {
            request(session, ask, engine, owners)
        }
        _ => Ok(None),
    }
}

/// The locks of a session that wait and would be left as orphans.
fn waits_persistently<B: Backend>(
    session: &str,
    engine: &mut Executor<B>,
    owners: &Owners,
) -> Result<bool, String> {
    let space = engine.space_of(session)?.to_owned();
    let persistent = LockFlags::PERSISTENT.bits();
    Ok(engine.resources(&space)?.iter().flat_map(|resource| &resource.locks).any(|lock| {
        lock.queue == Queue::Waiting
            && lock.flags & persistent != 0
            && owners.get(&(space.clone(), lock.id)).is_some_and(|owner| owner == session)
    }))
}

fn request<B: Backend>(
    session: &str,
    ask: &Ask,
    engine: &mut Executor<B>,
    owners: &Owners,
) -> Result<Option<&'static str>, String> {
    let space = engine.space_of(session)?.to_owned();
    let (lock, flags) = match &ask.what {
        What::Convert { lock, body } | What::Unlock { lock, body } => (lock, body.flags),
        What::Deadlock { lock, flags } => (lock, *flags),
        _ => return Ok(None),
    };
    let id = match lock {
        LockRef::Named(name) => engine.lock(name)?.id,
        LockRef::Id(id) => *id,
    };
    let resources = engine.resources(&space)?;
    let found = resources.iter().flat_map(|it| &it.locks).find(|lock| lock.id == id);
    if flags.contains(LockFlags::QUECVT)
        && matches!(ask.what, What::Convert { .. })
        && !may_queue(found, &ask.what)
    {
        return Ok(Some("#refused-with-a-warning: QUECVT on a pair that gives something up"));
    }
    let Some(found) = found else { return Ok(None) };
    let had = LockFlags::from_bits_retain(found.flags);
    if matches!(ask.what, What::Convert { .. }) {
        return Ok(None);
    }
    for once in [LockFlags::CANCEL, LockFlags::FORCEUNLOCK] {
        if flags.contains(once) && had.contains(once) {
            return Ok(Some("#refused-with-a-warning: a second CANCEL or FORCEUNLOCK"));
        }
    }
    let is_orphan = !owners.contains_key(&(space, id));
    if is_orphan && matches!(ask.what, What::Unlock { .. }) {
        return Ok(Some("UNLOCK of an orphan by its id: the kernel looks for its session"));
    }
    Ok(None)
}

/// Whether QUECVT does not make the kernel warn.
fn may_queue(found: Option<&Lock>, what: &What) -> bool {
    let (Some(lock), What::Convert { body, .. }) = (found, what) else { return false };
    let granted = u8::try_from(lock.granted).ok().and_then(|mode| ModeCode(mode).known());
    match (granted, ModeCode(body.mode).known()) {
        (Some(from), Some(to)) => from.allows_quecvt(to),
        // Refused for the mode before anything else.
        (_, None) => true,
        (None, _) => false,
    }
}

/// The lockspace of the session that a request is written to.
pub(super) fn space_of<B: Backend>(step: &Step, executor: &Executor<B>) -> Option<String> {
    match step {
        Step::Ask { device: Device::Session(session), .. } => {
            executor.space_of(session).ok().map(str::to_owned)
        }
        _ => None,
    }
}

/// Keeps in mind whose a lock is.
pub(super) fn note_owner(
    step: &Step,
    observed: &Observed,
    space: Option<String>,
    owners: &mut Owners,
) {
    match (step, observed) {
        (Step::Close { sessions }, _) => owners.retain(|_, owner| !sessions.contains(owner)),
        (
            Step::Ask {
                device: Device::Session(session),
                ask: Ask { what: What::Lock { .. } | What::Adopt { .. }, .. },
                ..
            },
            Observed::Answer(Ok(id)),
        ) => {
            if let (Some(space), Ok(id)) = (space, u32::try_from(*id)) {
                owners.insert((space, id), session.clone());
            }
        }
        _ => {}
    }
}
