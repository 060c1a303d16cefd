//! Text to steps.

use dlm_proto::{LockFlags, LockspaceFlags, Mode, RemoveFlags, ValueBlock, Version};

use super::cursor::{Cursor, Parsed, name, whole};
use super::expect::{gets, queues};
use super::show::FLAGS;
use super::step::{
    Ask, Body, Device, Frame, LockRef, MAIN, Owner, Placed, Scenario, Step, What, Words,
};
use super::text::{Mistake, Word};
use crate::kernel::Kernel;

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The first mistake in it.
    pub fn parse(file: &str, text: &str) -> Result<Self, Mistake> {
        let mut scenario =
            Self { file: file.to_owned(), shows: Vec::new(), warns: false, steps: Vec::new() };
        for (at, line) in text.lines().enumerate() {
            let line_number = at + 1;
            scenario.line(line_number, line).map_err(|text| Mistake {
                file: file.to_owned(),
                line: line_number,
                text,
            })?;
        }
        Ok(scenario)
    }

    fn line(&mut self, number: usize, line: &str) -> Parsed<()> {
        let mut cursor = Cursor::new(line)?;
        if cursor.words.is_empty() {
            return Ok(());
        }
        if cursor.is("shows") {
            while let Some(word) = cursor.plain() {
                self.shows.push(word);
            }
            return cursor.end();
        }
        if cursor.is("warns") {
            self.warns = true;
            return cursor.end();
        }
        let only = if cursor.is("on") { Some(kernel(&cursor.want("a kernel")?)?) } else { None };
        let step = step(&mut cursor)?;
        cursor.end()?;
        self.steps.push(Placed { line: number, only, step });
        Ok(())
    }
}

fn kernel(name: &str) -> Parsed<Kernel> {
    match name {
        "6.1" => Ok(Kernel::V6_1),
        "6.12" => Ok(Kernel::V6_12),
        _ => Err(format!("wanted a kernel, 6.1 or 6.12, not `{name}`")),
    }
}

fn step(cursor: &mut Cursor) -> Parsed<Step> {
    if cursor.is("open") {
        let space = space(cursor)?;
        return Ok(Step::Open { sessions: sessions(cursor)?, space, errno: cursor.errno.take() });
    }
    if cursor.is("close") {
        return Ok(Step::Close { sessions: sessions(cursor)? });
    }
    if cursor.is("queues") {
        let space = space(cursor)?;
        let resource = cursor.text()?;
        let wanted = if cursor.is("none") { None } else { Some(queues(cursor)?) };
        return Ok(Step::Queues { space, resource, wanted });
    }
    for (word, same) in [("same", true), ("differ", false)] {
        if cursor.is(word) {
            let (left, right) = (name(cursor, "a lock")?, name(cursor, "a second lock")?);
            return Ok(Step::Ids { left, right, same });
        }
    }
    let by = if cursor.is("by") { Some(name(cursor, "a thread")?) } else { None };
    let actor = name(cursor, "a session or one of open, close, queues, same, differ, by, on")?;
    let verb = cursor.want("what is done")?;
    let session = actor.clone();
    if by.is_none() {
        match verb.as_str() {
            "gets" => return gets(cursor, session),
            "reads" => {
                let size = cursor.number("size")?.ok_or("wanted size=NUMBER")?;
                let errno = cursor.errno.take().ok_or("wanted -> and an error name")?;
                return Ok(Step::Reads { session, size, errno });
            }
            "version" => return Ok(Step::Version { session }),
            "readable" => return Ok(Step::Ready { session, wanted: true }),
            "unreadable" => return Ok(Step::Ready { session, wanted: false }),
            _ => {}
        }
    }
    let ask = ask(cursor, &verb)?;
    let device = if actor == "control" { Device::Control } else { Device::Session(actor) };
    Ok(Step::Ask { device, by, ask, errno: cursor.errno.take() })
}

/// The lockspace behind `in`, wherever that stands.
fn space(cursor: &mut Cursor) -> Parsed<String> {
    let at = cursor.words.iter().position(|word| *word == Word::Plain("in".into()));
    let Some(at) = at else { return Ok(MAIN.to_owned()) };
    cursor.words.remove(at);
    match cursor.words.remove(at) {
        Some(Word::Plain(space)) => Ok(space),
        _ => Err("wanted a lockspace behind `in`".into()),
    }
}

fn sessions(cursor: &mut Cursor) -> Parsed<Vec<String>> {
    let mut sessions = vec![name(cursor, "a session")?];
    while !cursor.words.is_empty() {
        sessions.push(name(cursor, "a session")?);
    }
    Ok(sessions)
}

pub(super) fn lock_ref(cursor: &mut Cursor) -> Parsed<LockRef> {
    match cursor.number("id")? {
        Some(id) => Ok(LockRef::Id(id)),
        None => Ok(LockRef::Named(name(cursor, "a lock")?)),
    }
}

fn ask(cursor: &mut Cursor, verb: &str) -> Parsed<Ask> {
    let frame = frame(cursor)?;
    let what = match verb {
        "lock" => {
            let (lock, resource) = (name(cursor, "a name for the lock")?, cursor.text()?);
            What::Lock { lock, resource, body: body(cursor, true)? }
        }
        "adopt" => {
            let (lock, resource) = (name(cursor, "a name for the lock")?, cursor.text()?);
            What::Adopt { lock, resource, body: body(cursor, true)? }
        }
        "convert" => What::Convert { lock: lock_ref(cursor)?, body: body(cursor, true)? },
        "unlock" => What::Unlock { lock: lock_ref(cursor)?, body: body(cursor, false)? },
        "cancel" => {
            let lock = lock_ref(cursor)?;
            let mut body = body(cursor, false)?;
            body.flags |= LockFlags::CANCEL;
            What::Unlock { lock, body }
        }
        "deadlock" => {
            let bits = cursor.number("flags")?;
            let flags = bits.map_or(LockFlags::CANCEL, LockFlags::from_bits_retain);
            What::Deadlock { lock: lock_ref(cursor)?, flags }
        }
        "purge" => {
            let node = cursor.number("node")?.unwrap_or(0);
            What::Purge { node, owner: owner(&cursor.want("a thread or its number")?)? }
        }
        "create" => {
            let length = cursor.number("length")?;
            let space = name(cursor, "a lockspace")?;
            let newexcl = cursor.has("newexcl");
            let flags = if newexcl { LockspaceFlags::NEWEXCL } else { LockspaceFlags::empty() };
            What::Create { space, length, flags }
        }
        "remove" => {
            let space = name(cursor, "a lockspace")?;
            let force = cursor.has("force");
            let flags = if force { RemoveFlags::FORCEFREE } else { RemoveFlags::empty() };
            What::Remove { space, flags }
        }
        _ => {
            return Err(format!(
                "`{verb}` is nothing to do; wanted lock, adopt, convert, unlock, cancel, deadlock, \
                 purge, create, remove, gets, reads, version, readable or unreadable"
            ));
        }
    };
    Ok(Ask { what, frame })
}

fn owner(text: &str) -> Parsed<Owner> {
    Ok(match text {
        "me" => Owner::Caller,
        "main" => Owner::Main,
        _ if text.starts_with(|first: char| first.is_ascii_digit()) => Owner::Number(whole(text)?),
        _ => Owner::Thread(text.to_owned()),
    })
}

fn frame(cursor: &mut Cursor) -> Parsed<Frame> {
    let narrow = match cursor.value("width").as_deref() {
        None => false,
        Some("32") => true,
        Some(other) => return Err(format!("wanted width=32, not {other}")),
    };
    let version = cursor.value("version").map(|text| version(&text)).transpose()?;
    Ok(Frame {
        narrow,
        size: cursor.number("size")?,
        version,
        command: cursor.number("command")?,
        namelen: cursor.number("namelen")?,
    })
}

fn version(text: &str) -> Parsed<Version> {
    let numbers: Vec<u32> = text.split('.').map(whole).collect::<Parsed<_>>()?;
    match *numbers {
        [major, minor, patch] => Ok(Version::new(major, minor, patch)),
        _ => Err(format!("wanted a version such as 6.0.0, not `{text}`")),
    }
}

pub(super) fn mode(text: &str) -> Parsed<Mode> {
    Mode::ALL
        .into_iter()
        .find(|mode| mode.name() == text)
        .ok_or_else(|| format!("wanted a mode (NL, CR, CW, PR, PW or EX), not `{text}`"))
}

fn body(cursor: &mut Cursor, has_mode: bool) -> Parsed<Body> {
    let mode = match cursor.number("mode")? {
        Some(number) => number,
        None if has_mode => mode(&cursor.want("a mode")?)? as u8,
        None => 0,
    };
    let bits = cursor.number("flags")?.unwrap_or(0);
    let mut body = Body { flags: LockFlags::from_bits_retain(bits), ..Body::new(mode) };
    body.lvb = cursor.value("lvb").map_or(Ok(ValueBlock::ZERO), |text| block(&text))?;
    body.xid = cursor.number("xid")?.unwrap_or(0);
    body.timeout = cursor.number("timeout")?.unwrap_or(0);
    body.words = own_words(cursor)?;
    for (name, flag) in FLAGS {
        if cursor.has(name) {
            body.flags |= flag;
        }
    }
    Ok(body)
}

pub(super) fn own_words(cursor: &mut Cursor) -> Parsed<Words> {
    Ok(Words {
        number: cursor.number("words")?,
        addr: cursor.number("addr")?,
        param: cursor.number("param")?,
        notice_addr: cursor.number("baddr")?,
        notice_param: cursor.number("bparam")?,
        lksb: cursor.number("lksb")?,
    })
}

pub(super) fn block(text: &str) -> Parsed<ValueBlock> {
    let wrong = || format!("wanted 2 or 64 hex digits of a value block, not `{text}`");
    let digits = if text.len() == 2 { text.repeat(32) } else { text.to_owned() };
    let mut block = ValueBlock::ZERO;
    if digits.len() != 64 || !digits.is_ascii() {
        return Err(wrong());
    }
    for (at, byte) in block.0.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
    }
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> String {
        Scenario::parse("f.dlm", text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = "\
            open a b in two -> ENOENT\nclose a b\n\
            by t a lock A \"r\\x00\" EX noqueue lvb=07 words=3 lksb=0x0 -> EINVAL\n\
            a lock A \"r\" mode=6 flags=0x80000 xid=1 timeout=2 addr=0x1 baddr=0x2\n\
            a convert id=0x1 PR quecvt width=32 size=100 version=6.0.99 command=3 namelen=65\n\
            a adopt B \"\" PR persistent\na unlock A forceunlock\na cancel A\na deadlock A\n\
            a deadlock A flags=0x0\na purge me\na purge main\na purge t\na purge 77 node=2\n\
            control create two newexcl length=64\ncontrol remove two force -> EBUSY\n\
            a gets A granted demoted altmode lvb=00 words=2 size=72\na gets nothing\n\
            a gets A blocking EX status=again valnotvalid param=0x5\na gets anything\n\
            a reads size=51 -> EINVAL\na version\na readable\na unreadable\n\
            queues \"r\" none\nsame A B\ndiffer A B\n\
            queues \"r\" in two granted A:EX id=0x7:NL converting B:PR>EX waiting C:CW lvb=none\n";
        let scenario = Scenario::parse("f.dlm", text).unwrap();
        let shown: String = scenario.steps.iter().map(|it| format!("{}\n", it.step)).collect();
        assert_eq!(shown, text);
    }

    #[test]
    fn headers_and_kernels_are_read() {
        let text =
            "# title\nshows one-fact another-fact\nwarns\non 6.1 open a # tail\non 6.12 close a\n";
        let scenario = Scenario::parse("f.dlm", text).unwrap();
        assert_eq!(scenario.shows, ["one-fact", "another-fact"]);
        assert!(scenario.warns);
        let placed: Vec<_> = scenario.steps.iter().map(|it| (it.line, it.only)).collect();
        assert_eq!(placed, [(4, Some(Kernel::V6_1)), (5, Some(Kernel::V6_12))]);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        assert_eq!(
            mistake("open a\na lock A \"r\" XX"),
            "f.dlm:2: wanted a mode (NL, CR, CW, PR, PW or EX), not `XX`"
        );
        for (text, part) in [
            ("on 5.10 open a", "6.1 or 6.12"),
            ("a lock A r EX", "quotation marks, not `r`"),
            ("a lock A", "quotation marks, not the end of the line"),
            ("a frobs", "nothing to do"),
            ("a lock A \"r\" EX fast", "not understood here: `fast`"),
            ("a lock A \"r\" EX -> EFOO", "error name such as EBUSY"),
            ("a gets A won", "granted, again"),
            ("a gets A granted -> EBUSY", "can fail"),
            ("a lock A \"r\" EX lvb=1", "2 or 64 hex digits"),
            ("a lock A \"r\" EX mode=300", "too large"),
            ("queues \"r\" granted A", "LOCK:MODE"),
            ("queues \"r\" granted", "`none`"),
            ("a lock 1 \"r\" EX", "name for the lock"),
            ("a", "what is done"),
        ] {
            let told = mistake(text);
            assert!(told.contains(part), "{text}: {told}");
        }
    }
}
