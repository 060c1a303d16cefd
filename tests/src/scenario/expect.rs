//! Text to what is expected of results and queues.

use dlm_proto::{LockStatus, MAX_RESULT_LEN};

use super::cursor::{Cursor, Parsed, whole};
use super::parse::{block, lock_ref, mode, own_words};
use super::show::{STATUS_FLAGS, STATUSES};
use super::step::{LockRef, Queues, Result as Expected, Step, Wanted};

pub(super) fn gets(cursor: &mut Cursor, session: String) -> Parsed<Step> {
    let size = cursor.number("size")?.unwrap_or(MAX_RESULT_LEN);
    let wanted = if cursor.is("anything") {
        Wanted::Anything
    } else if cursor.is("nothing") {
        Wanted::Nothing
    } else {
        let lock = lock_ref(cursor)?;
        let end = cursor.want("how it ended")?;
        let notice = if end == "blocking" { Some(mode(&cursor.want("a mode")?)?) } else { None };
        let status = match notice {
            Some(_) => {
                cursor.value("status").map_or(Ok(LockStatus::Granted), |text| status(&text))?
            }
            None => status(&end)?,
        };
        let mut flags = cursor.number("flags")?.unwrap_or(0);
        for (name, flag) in STATUS_FLAGS {
            if cursor.has(name) {
                flags |= flag.bits();
            }
        }
        let lvb = cursor.value("lvb").map(|text| block(&text)).transpose()?;
        let result = Expected { lock, status, flags, lvb, words: own_words(cursor)? };
        match notice {
            Some(mode) => Wanted::Notice(mode, result),
            None => Wanted::Completion(result),
        }
    };
    Ok(Step::Gets { session, size, wanted })
}

fn status(text: &str) -> Parsed<LockStatus> {
    if let Ok(number) = text.parse() {
        return Ok(LockStatus::from_raw(number));
    }
    STATUSES.iter().find(|(name, _)| *name == text).map(|(_, status)| *status).ok_or_else(|| {
        format!("wanted granted, again, deadlock, cancelled, unlocked or blocking, not `{text}`")
    })
}

pub(super) fn queues(cursor: &mut Cursor) -> Parsed<Queues> {
    let lvb = match cursor.value("lvb").as_deref() {
        None => None,
        Some("none") => Some(None),
        Some(digits) => Some(Some(block(digits)?)),
    };
    let mut queues = Queues { lvb, ..Queues::default() };
    let mut queue = cursor.want("granted, converting, waiting or none")?;
    while let Some(word) = cursor.plain() {
        if ["granted", "converting", "waiting"].contains(&word.as_str()) {
            queue = word;
            continue;
        }
        let wrong = || format!("wanted LOCK:MODE or LOCK:FROM>TO, not `{word}`");
        let (lock, modes) = word.rsplit_once(':').ok_or_else(wrong)?;
        let lock = match lock.strip_prefix("id=") {
            Some(id) => LockRef::Id(whole(id)?),
            None => LockRef::Named(lock.to_owned()),
        };
        match (queue.as_str(), modes.split_once('>')) {
            ("granted", None) => queues.granted.push((lock, mode(modes)?)),
            ("waiting", None) => queues.waiting.push((lock, mode(modes)?)),
            ("converting", Some((from, to))) => {
                queues.converting.push((lock, mode(from)?, mode(to)?));
            }
            _ => return Err(wrong()),
        }
    }
    if queues == (Queues { lvb: queues.lvb, ..Queues::default() }) {
        return Err("a resource without locks is written `none`".into());
    }
    Ok(queues)
}
