//! Lines as records.

use heapless::Vec;

use super::{BlockRecord, LineError, LockRecord, Place, Record, ResourceRecord};
use crate::{LockFlags, LockId, MAX_NAME_LEN, Mode, ModeCode, ResourceName};

impl Record {
    /// The record on a line, given without its newline.
    ///
    /// # Errors
    ///
    /// [`LineError`]: it is not as the kernel writes it.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        let mut fields = Fields(Some(line));
        match fields.next().ok_or(LineError::Kind)? {
            // The header up to 6.1, and that of 6.12.
            b"version" => Ok(Self::Header),
            b"rsb" if fields.0.is_some_and(|rest| rest.starts_with(b"ptr ")) => Ok(Self::Header),
            b"rsb" => resource(fields).map(Self::Resource),
            b"lvb" => block(fields).map(Self::Block),
            b"lkb" => lock(fields).map(Self::Lock),
            _ => Err(LineError::Kind),
        }
    }
}

fn resource(mut fields: Fields<'_>) -> Result<ResourceRecord, LineError> {
    // A hash of its address.
    fields.next().ok_or(LineError::Field("rsb"))?;
    let master = fields.signed("res_nodeid")?;
    let first = LockId(fields.hex32("res_first_lkid")?);
    let flags = fields.hex("res_flags")?;
    let to_recover = fields.flag("res_root_list")?;
    let recovering = fields.flag("res_recover_list")?;
    let unrecovered = fields.number32("res_recover_locks_count")?;
    let len = fields.number("res_length")?;
    let kind = fields.next().ok_or(LineError::Field("str"))?;
    let text = fields.rest();
    let hex: Vec<u8, MAX_NAME_LEN>;
    let bytes = match kind {
        b"str" => text,
        b"hex" => {
            hex = bytes(text).ok_or(LineError::Field("res_name"))?;
            &hex
        }
        _ => return Err(LineError::Field("str")),
    };
    if u64::try_from(bytes.len()) != Ok(len) {
        return Err(LineError::NameLength);
    }
    let name = ResourceName::new(bytes).map_err(|_| LineError::NameLength)?;
    Ok(ResourceRecord { name, master, first, flags, to_recover, recovering, unrecovered })
}

fn block(mut fields: Fields<'_>) -> Result<BlockRecord, LineError> {
    let sequence = fields.number32("res_lvbseq")?;
    let len = fields.number("lvblen")?;
    let bytes = bytes(fields.rest()).ok_or(LineError::Field("res_lvbptr"))?;
    if u64::try_from(bytes.len()) != Ok(len) {
        return Err(LineError::Field("lvblen"));
    }
    Ok(BlockRecord { sequence, bytes })
}

fn lock(mut fields: Fields<'_>) -> Result<LockRecord, LineError> {
    let record = LockRecord {
        id: LockId(fields.hex32("lkb_id")?),
        node: fields.signed("lkb_nodeid")?,
        remote: LockId(fields.hex32("lkb_remid")?),
        task: fields.number32("lkb_ownpid")?,
        transaction: fields.number("xid")?,
        flags: LockFlags::from_bits_retain(fields.hex32("lkb_exflags")?),
        marks: fields.hex32("lkb_flags")?,
        place: fields.place("lkb_status")?,
        granted: fields.mode("lkb_grmode")?,
        requested: fields.mode("lkb_rqmode")?,
        bast_mode: fields.signed("lkb_last_bast")?,
        in_lookup: fields.flag("rsb_lookup")?,
        awaits: fields.number32("lkb_wait_type")?,
        sequence: fields.number32("lkb_lvbseq")?,
        since: fields.number("lkb_timestamp")?,
        notified: fields.number("lkb_last_bast_time")?,
    };
    if fields.next().is_some() { Err(LineError::Trailing) } else { Ok(record) }
}

/// Pairs of digits, with a blank before each but the first. The kernel ends some such lists with a
/// blank.
fn bytes<const N: usize>(text: &[u8]) -> Option<Vec<u8, N>> {
    let mut bytes = Vec::new();
    let text = text.strip_suffix(b" ").unwrap_or(text);
    if text.is_empty() {
        return Some(bytes);
    }
    for pair in text.split(|&byte| byte == b' ') {
        let &[high, low] = pair else { return None };
        bytes.push(digit(high)? << 4 | digit(low)?).ok()?;
    }
    Some(bytes)
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

fn number_of(text: &[u8], base: u8) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, &byte| {
        let digit = digit(byte).filter(|&digit| digit < base)?;
        sum.checked_mul(base.into())?.checked_add(digit.into())
    })
}

/// What is between blanks; `None` behind the last.
struct Fields<'a>(Option<&'a [u8]>);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.0?;
        let Some(blank) = line.iter().position(|&byte| byte == b' ') else { return self.0.take() };
        let (field, rest) = line.split_at_checked(blank)?;
        self.0 = rest.get(1..);
        Some(field)
    }

    fn rest(self) -> &'a [u8] {
        self.0.unwrap_or_default()
    }

    fn parsed<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, LineError> {
        self.next().and_then(parse).ok_or(LineError::Field(name))
    }

    fn number(&mut self, name: &'static str) -> Result<u64, LineError> {
        self.parsed(name, |text| number_of(text, 10))
    }

    fn number32(&mut self, name: &'static str) -> Result<u32, LineError> {
        self.parsed(name, |text| number_of(text, 10)?.try_into().ok())
    }

    fn hex(&mut self, name: &'static str) -> Result<u64, LineError> {
        self.parsed(name, |text| number_of(text, 16))
    }

    fn hex32(&mut self, name: &'static str) -> Result<u32, LineError> {
        self.parsed(name, |text| number_of(text, 16)?.try_into().ok())
    }

    fn signed(&mut self, name: &'static str) -> Result<i32, LineError> {
        self.parsed(name, |text| {
            let (sign, digits) = text.strip_prefix(b"-").map_or((1, text), |digits| (-1, digits));
            (sign * i64::try_from(number_of(digits, 10)?).ok()?).try_into().ok()
        })
    }

    fn flag(&mut self, name: &'static str) -> Result<bool, LineError> {
        self.parsed(name, |text| match text {
            b"0" => Some(false),
            b"1" => Some(true),
            _ => None,
        })
    }

    fn mode(&mut self, name: &'static str) -> Result<Option<Mode>, LineError> {
        self.parsed(name, |text| match text {
            b"-1" => Some(None),
            _ => ModeCode(number_of(text, 10)?.try_into().ok()?).known().map(Some),
        })
    }

    fn place(&mut self, name: &'static str) -> Result<Place, LineError> {
        self.parsed(name, |text| {
            [Place::Granted, Place::Converting, Place::Waiting, Place::Unqueued]
                .into_iter()
                .find(|place| text == place.code().as_bytes())
        })
    }
}
