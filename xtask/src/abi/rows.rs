//! The numbers of dlm-proto for each record and constant, beside the name that the headers have for
//! it.

use dlm_proto::layout::{Header, LockspaceBody, PurgeBody, v6};
use dlm_proto::{
    Abi, Command, LVB_LEN, LockFlags, LockStatus, LockspaceFlags, MAX_NAME_LEN, MAX_RESULT_LEN,
    Mode, PointerWidth, RemoveFlags, StatusFlags, VERSION_LEN, Version,
};
use std::mem::offset_of;

/// One number that is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    kind: Kind,
    /// dlm-proto's number.
    pub ours: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Size(&'static str),
    Offset(&'static str, String),
    Width(&'static str, String),
    Constant(String),
}

impl Row {
    /// As the probe calls it.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.kind {
            Kind::Size(record) => format!("size {record}"),
            Kind::Offset(record, field) => format!("offset {record}.{field}"),
            Kind::Width(record, field) => format!("width {record}.{field}"),
            Kind::Constant(name) => name.clone(),
        }
    }

    /// Whether it is a constant, and not a place in a record.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        matches!(self.kind, Kind::Constant(_))
    }

    /// The line of the C program that asks for it. Not all headers have all constants.
    pub(super) fn question(&self) -> String {
        match &self.kind {
            Kind::Size(record) => format!("SIZE({record})"),
            Kind::Offset(record, field) => format!("OFFSET({record}, {field})"),
            Kind::Width(record, field) => format!("WIDTH({record}, {field})"),
            Kind::Constant(name) => format!("#ifdef {name}\nVALUE({name})\n#endif"),
        }
    }
}

/// The rows of a width, complete.
#[must_use]
pub fn rows(width: PointerWidth) -> Vec<Row> {
    let mut rows = records(width);
    rows.extend(constants());
    rows
}

fn number(value: usize) -> i64 {
    // Beyond any record: a difference in any case.
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn size(record: &'static str, ours: usize) -> Row {
    Row { kind: Kind::Size(record), ours: number(ours) }
}

fn offset(record: &'static str, field: &str, ours: usize) -> Row {
    Row { kind: Kind::Offset(record, field.to_owned()), ours: number(ours) }
}

/// The size of the field that a function borrows.
const fn width_of<R, F>(_: fn(&R) -> &F) -> usize {
    size_of::<F>()
}

/// Offset and width of fields of a header's struct, from one of ours. The text is what their names
/// have before them in the header: the name of a struct within the struct, and a dot.
macro_rules! fields {
    ($rows:ident, $record:literal, $within:literal, $ours:ty: $($field:ident)+) => {
        $({
            let name = concat!($within, stringify!($field)).to_owned();
            $rows.push(offset($record, &name, offset_of!($ours, $field)));
            let width = number(width_of(|record: &$ours| &record.$field));
            $rows.push(Row { kind: Kind::Width($record, name), ours: width });
        })+
    };
}

macro_rules! lock_and_result {
    ($rows:ident, $lock:ty, $result:ty) => {{
        fields!($rows, "dlm_lock_params", "", $lock:
            mode namelen unused flags lkid parent xid timeout
            castparam castaddr bastparam bastaddr lksb lvb
        );
        $rows.push(size("dlm_lock_params", size_of::<$lock>()));
        $rows.push(offset("dlm_lock_params", "name", size_of::<$lock>()));
        fields!($rows, "dlm_lock_result", "", $result:
            version length user_astaddr user_astparam user_lksb bast_mode unused lvb_offset
        );
        fields!($rows, "dlm_lock_result", "lksb.", $result:
            sb_status sb_lkid sb_flags sb_lvbptr
        );
        $rows.push(size("dlm_lock_result", size_of::<$result>()));
        let lksb = offset_of!($result, bast_mode) - offset_of!($result, sb_status);
        $rows.push(size("dlm_lksb", lksb));
    }};
}

fn records(width: PointerWidth) -> Vec<Row> {
    let mut rows = Vec::new();
    let abi = match width {
        PointerWidth::W64 => Abi::V6_64,
        PointerWidth::W32 => Abi::V6_32,
    };
    match width {
        PointerWidth::W64 => lock_and_result!(rows, v6::Lock64, v6::Result64),
        PointerWidth::W32 => lock_and_result!(rows, v6::Lock32, v6::Result32),
    }
    fields!(rows, "dlm_write_request", "", Header: version cmd is64bit unused);
    fields!(rows, "dlm_lspace_params", "", LockspaceBody: flags minor);
    fields!(rows, "dlm_purge_params", "", PurgeBody: nodeid pid);
    rows.extend([
        size("dlm_lspace_params", size_of::<LockspaceBody>()),
        offset("dlm_lspace_params", "name", size_of::<LockspaceBody>()),
        size("dlm_purge_params", size_of::<PurgeBody>()),
        size("dlm_device_version", VERSION_LEN),
        // The functions that say where things are, beside the structs.
        size("dlm_write_request", abi.lock_name_offset()),
        offset("dlm_write_request", "i.lock", size_of::<Header>()),
        offset("dlm_write_request", "i.lock.name", abi.lock_name_offset()),
        offset("dlm_write_request", "i.lspace", size_of::<Header>()),
        offset("dlm_write_request", "i.purge", size_of::<Header>()),
        size("dlm_lock_result", abi.result_len()),
    ]);
    if width == PointerWidth::W64 {
        rows.push(size("dlm_lock_result", MAX_RESULT_LEN - LVB_LEN));
    }
    rows
}

fn constants() -> Vec<Row> {
    let row = |name: String, ours: i64| Row { kind: Kind::Constant(name), ours };
    let commands = [
        ("LOCK", Command::Lock),
        ("UNLOCK", Command::Unlock),
        ("CREATE_LOCKSPACE", Command::CreateLockspace),
        ("REMOVE_LOCKSPACE", Command::RemoveLockspace),
        ("PURGE", Command::Purge),
        ("DEADLOCK", Command::Deadlock),
    ];
    let mut rows = vec![
        row("DLM_LOCKSPACE_LEN".into(), number(MAX_NAME_LEN)),
        row("DLM_RESNAME_MAXLEN".into(), number(MAX_NAME_LEN)),
        row("DLM_USER_LVB_LEN".into(), number(LVB_LEN)),
        row("DLM_DEVICE_VERSION_MAJOR".into(), Version::V6.major.into()),
        row("DLM_DEVICE_VERSION_MINOR".into(), Version::V6.minor.into()),
        // Results have them negative.
        row("DLM_ECANCEL".into(), -i64::from(LockStatus::Cancelled.to_raw())),
        row("DLM_EUNLOCK".into(), -i64::from(LockStatus::Unlocked.to_raw())),
    ];
    rows.extend(commands.map(|(name, command)| row(format!("DLM_USER_{name}"), command as i64)));
    rows.extend(Mode::ALL.map(|mode| row(format!("DLM_LOCK_{}", mode.name()), mode as i64)));
    let lock = LockFlags::all().iter_names().map(|(name, flag)| ("LKF", name, flag.bits()));
    let status =
        StatusFlags::all().iter_names().map(|(name, flag)| ("SBF", name, flag.bits().into()));
    let space = LockspaceFlags::all().iter_names().map(|(name, flag)| ("LSFL", name, flag.bits()));
    let remove =
        RemoveFlags::all().iter_names().map(|(name, flag)| ("USER_LSFLG", name, flag.bits()));
    rows.extend(
        lock.chain(status)
            .chain(space)
            .chain(remove)
            .map(|(kind, name, bits)| row(format!("DLM_{kind}_{name}"), bits.into())),
    );
    rows
}
