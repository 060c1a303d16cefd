//! The annotated bytes on the documentation page `protocol` are made from the golden vectors.
//! `DLM_PAGE=write cargo test -p dlm-proto --test page` writes them anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "tests"
)]
#![cfg(target_endian = "little")]

use std::fmt::Write;

use dlm_proto::layout::{Field, Header, LockspaceBody, v6};
use dlm_proto::{Abi, Cookies, LockFlags, LockStatus, ModeCode, VERSION_LEN};

mod common;
use common::{Record, records};

/// Which records of the conversation are shown, and under which heading.
const SHOWN: [(&str, &str); 9] = [
    ("create", "create the lockspace \"golden64\""),
    ("version", "the version"),
    ("lock-ex", "request EX on \"disk0\", with its value block"),
    ("granted-with-block", "the completion: granted, and the block"),
    ("lock-waits", "another program requests PR"),
    ("blocking-pr", "the holder's blocking notice: somebody waits for PR"),
    ("convert-writes-block", "the holder converts to PR and writes the block"),
    ("unlock", "the other program unlocks"),
    ("unlocked", "the completion: unlocked"),
];

/// The parts of a record: from which offset, and which fields.
fn parts(record: &Record) -> Vec<(usize, &'static [Field])> {
    let lock = [(0, Header::FIELDS), (16, v6::Lock64::FIELDS)];
    match (record.is_request, record.name) {
        (true, "create") => vec![(0, Header::FIELDS), (16, LockspaceBody::FIELDS)],
        (true, _) => lock.to_vec(),
        (false, _) => vec![(0, v6::Result64::FIELDS)],
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

/// What the bytes of a field mean.
fn meaning(record: &Record, field: &str, bytes: &[u8]) -> String {
    let value = if bytes.len() <= 8 { number(bytes) } else { 0 };
    let word = || match value {
        Cookies::COMPLETION => "our mark of a completion".into(),
        Cookies::BLOCKING => "our mark of a blocking notice".into(),
        0x1267 => "our mark of this process".into(),
        0 => "none".into(),
        value => format!("token: slot {}, generation {}", value as u32, value >> 32),
    };
    match field {
        "version" => {
            let part = |at| number(&bytes[at..at + 4]);
            format!("{}.{}.{}", part(0), part(4), part(8))
        }
        "cmd" => ["", "LOCK", "UNLOCK", "", "CREATE_LOCKSPACE"][bytes[0] as usize].into(),
        "is64bit" => "a 64-bit program".into(),
        "mode" | "bast_mode" => {
            let mode = ModeCode(bytes[0]).known().unwrap();
            let is_none = field == "bast_mode" && value == 0 || record.name == "unlock";
            if is_none { "not used".into() } else { mode.to_string() }
        }
        "namelen" | "length" => format!("{value} bytes"),
        "flags" if record.name == "create" => "NEWEXCL".into(),
        "flags" => LockFlags::from_bits_retain(value as u32)
            .iter_names()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
            .join(" + "),
        "castaddr" | "castparam" | "bastaddr" | "bastparam" | "lksb" => word(),
        "user_astaddr" | "user_astparam" | "user_lksb" => word(),
        "sb_status" => LockStatus::from_raw(value as u32 as i32).to_string(),
        "lkid" | "sb_lkid" if value > 0 => format!("lock {value}"),
        "lvb_offset" if value > 0 => format!("the block starts at {value}"),
        _ => String::new(),
    }
}

fn line(page: &mut String, offset: usize, bytes: &[u8], name: &str, meaning: &str) {
    let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    for (row, chunk) in hex.chunks(12).enumerate() {
        let (name, meaning) = if row == 0 { (name, meaning) } else { ("", "") };
        let text = format!("{:5}  {:36}{name:15}{meaning}", offset + row * 12, chunk.join(" "));
        writeln!(page, "{}", text.trim_end()).unwrap();
    }
}

fn dump(page: &mut String, record: &Record) {
    let bytes = &record.bytes;
    if bytes.len() == VERSION_LEN {
        return line(page, 0, bytes, "version", &meaning(record, "version", bytes));
    }
    let mut end = 0;
    for (start, fields) in parts(record) {
        for field in fields {
            let at = start + field.offset;
            let part = &bytes[at..at + field.len];
            line(page, at, part, field.name, &meaning(record, field.name, part));
            end = at + field.len;
        }
    }
    let rest = &bytes[end..];
    let used = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
    match (record.is_request, rest.is_empty()) {
        (_, true) => {}
        (true, _) => {
            let name = format!("\"{}\"", rest[..used].escape_ascii());
            line(page, end, &rest[..used], "name", &name);
            if rest.len() > used {
                let zeros = format!("{} zeros up to the least length", rest.len() - used);
                line(page, end + used, &[0], "...", &zeros);
            }
        }
        (false, _) => line(page, end, rest, "lvb", "the value block"),
    }
}

fn page() -> String {
    let records = records(Abi::V6_64);
    let mut page = String::new();
    for (name, heading) in SHOWN {
        let record = records.iter().find(|record| record.name == name).unwrap();
        let call = if record.is_request { "write" } else { "read" };
        let device = match record.device {
            'c' => "/dev/dlm-control".into(),
            who => format!("/dev/dlm_golden64 (program {who})"),
        };
        let count = record.bytes.len();
        writeln!(page, "{call} {device}, {count} bytes: {heading}").unwrap();
        dump(&mut page, record);
        page.push('\n');
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

#[test]
fn the_page_shows_the_golden_vectors() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/protocol/life.txt");
    if std::env::var_os("DLM_PAGE").is_some_and(|value| value == "write") {
        std::fs::write(path, page()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), page());
}
