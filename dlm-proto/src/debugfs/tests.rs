use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::*;

/// Recorded on stock kernels: `cargo xtask vm run`, a program with these locks, and the file.
const FILES: [(&str, &str); 2] = [
    ("6.1", include_str!("../../tests/debugfs/6.1_all")),
    ("6.12", include_str!("../../tests/debugfs/6.12_all")),
];

fn records(text: &str) -> Vec<Record> {
    text.lines().map(|line| Record::parse(line.as_bytes()).unwrap()).collect()
}

/// The resource of this name and what follows it.
fn resource(records: &[Record], wanted: &[u8]) -> (ResourceRecord, Vec<Record>) {
    let mut rest = records.iter();
    let found = rest.find_map(|record| match record {
        Record::Resource(resource) if *resource.name == *wanted => Some(resource.clone()),
        _ => None,
    });
    let of_it = rest.take_while(|record| !matches!(record, Record::Resource(_)));
    (found.unwrap(), of_it.cloned().collect())
}

fn modes(records: &[Record]) -> Vec<(u32, Place, Option<Mode>, Option<Mode>)> {
    let locks = records.iter().filter_map(|record| match record {
        Record::Lock(lock) => Some((lock.id.0, lock.place, lock.granted, lock.requested)),
        _ => None,
    });
    locks.collect()
}

#[test]
fn files_of_kernels_are_understood() {
    for (kernel, text) in FILES {
        let records = records(text);
        assert_eq!(records[0], Record::Header, "{kernel}");
        let (disk, of_it) = resource(&records, b"disk0");
        assert_eq!((disk.master, disk.flags & VALNOTVALID), (0, 0), "{kernel}");
        let wanted = [
            (2, Place::Granted, Some(Mode::Pr), None),
            (1, Place::Converting, Some(Mode::Pr), Some(Mode::Ex)),
            (3, Place::Waiting, None, Some(Mode::Ex)),
            (4, Place::Waiting, None, Some(Mode::Pr)),
        ];
        assert_eq!(modes(&of_it), wanted, "{kernel}");
        let (_, value) = resource(&records, b"value");
        let Record::Block(block) = &value[0] else { panic!("{kernel}: {value:?}") };
        assert_eq!((block.bytes.len(), &block.bytes[..8]), (32, &b"written\0"[..]), "{kernel}");
        let Record::Lock(lock) = &value[1] else { panic!("{kernel}: {value:?}") };
        assert_eq!(lock.flags, LockFlags::CONVERT | LockFlags::VALBLK, "{kernel}");
        for odd in [&b"odd\x01name"[..], b"zero\0end", b"quo\"te"] {
            assert_eq!(modes(&resource(&records, odd).1).len(), 1, "{kernel}");
        }
        let (_, orphan) = resource(&records, b"orphan");
        let Record::Lock(orphan) = orphan[0] else { panic!("{kernel}: {orphan:?}") };
        assert!(orphan.flags.contains(LockFlags::PERSISTENT), "{kernel}");
        let marks = if kernel == "6.1" { USER | ORPHAN } else { 0 };
        assert_eq!(orphan.marks, marks, "{kernel}");
    }
}

#[test]
fn what_is_parsed_is_shown_as_it_was() {
    for (kernel, text) in FILES {
        for line in text.lines().skip(1) {
            let record = Record::parse(line.as_bytes()).unwrap();
            // The address is a hash that changes with each boot.
            let wanted = match line.split_once(' ').unwrap() {
                ("rsb", rest) => format!("rsb 0 {}", rest.split_once(' ').unwrap().1),
                _ => String::from(line),
            };
            assert_eq!(record.to_string(), wanted, "{kernel}");
        }
    }
    assert_eq!(Record::parse(HEADER.as_bytes()), Ok(Record::Header));
    assert_eq!(Record::Header.to_string(), HEADER);
}

#[test]
fn other_lines_are_refused_with_a_reason() {
    let name = |text: &str| format!("rsb 0 0 0 0 0 0 0 {text}");
    let lock = |text: &str| format!("lkb {text}");
    let cases = [
        (String::new(), LineError::Kind),
        ("Resource 0 Name".into(), LineError::Kind),
        ("rsb".into(), LineError::Field("rsb")),
        ("rsb 0 x 0 0 0 0 0 1 str a".into(), LineError::Field("res_nodeid")),
        ("rsb 0 0 0 0 2 0 0 1 str a".into(), LineError::Field("res_root_list")),
        (name("1 raw a"), LineError::Field("str")),
        (name("2 str a"), LineError::NameLength),
        (name("1 hex 6"), LineError::Field("res_name")),
        (name("1 hex 6g"), LineError::Field("res_name")),
        (name(&format!("65 str {}", "a".repeat(65))), LineError::NameLength),
        ("lvb 1 2 00".into(), LineError::Field("lvblen")),
        (format!("lvb 1 65{}", " 00".repeat(65)), LineError::Field("res_lvbptr")),
        (lock("100000000 0 0 8 0 0 1 2 3 -1 0 0 0 0 0 0"), LineError::Field("lkb_id")),
        (lock("1 0 0 8 0 0 1 4 3 -1 0 0 0 0 0 0"), LineError::Field("lkb_status")),
        (lock("1 0 0 8 0 0 1 2 6 -1 0 0 0 0 0 0"), LineError::Field("lkb_grmode")),
        (lock("1 0 0 8 0 0 1 2 3 -1 0 0 0 0 0"), LineError::Field("lkb_last_bast_time")),
        (lock("1 0 0 8 0 0 1 2 3 -1 0 0 0 0 0 0 0"), LineError::Trailing),
        (lock("1 0 0 8 0 0 1 2 3 -1 0 0 0 0 0 +1"), LineError::Field("lkb_last_bast_time")),
    ];
    for (line, error) in cases {
        assert_eq!(Record::parse(line.as_bytes()), Err(error), "{line}");
    }
    assert!(matches!(Record::parse(name("0 str ").as_bytes()), Ok(Record::Resource(_))));
    assert!(matches!(Record::parse(name("3 str a b").as_bytes()), Ok(Record::Resource(_))));
}
