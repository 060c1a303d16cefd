//! Replays the inputs kept for the fuzzers in `fuzz/corpus`, with the same checks.
//!
//! `cargo test -p dlm-proto --test corpus -- --ignored` writes the seeds there: the golden vectors
//! and what they lack. An input that once broke something is to be added by hand, under a name
//! that says what it was.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::path::{Path, PathBuf};

use dlm_proto::{
    Abi, Cookies, LVB_LEN, LockFlags, LockId, LockRequest, LockResult, LockStatus, LockspaceFlags,
    MAX_REQUEST_LEN, MAX_RESULT_LEN, Minor, Mode, RemoveFlags, Request, StatusFlags, Token,
    UnlockRequest, ValueBlock, Version, fuzzing,
};

mod common;
use common::records;

/// Name and content.
type Seed = (String, Vec<u8>);

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target)
}

fn replay(target: &str) {
    let (_, body) = fuzzing::TARGETS.iter().find(|(name, _)| *name == target).unwrap();
    let folder = folder(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut count = 0;
    for file in files {
        let path = file.unwrap().path();
        // Shown if the body panics.
        println!("{}", path.display());
        body(&fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

#[test]
fn inputs_for_debugfs() {
    replay("debugfs");
}

#[test]
fn inputs_for_names() {
    replay("names");
}

#[test]
fn inputs_for_request_decode() {
    replay("request_decode");
}

#[test]
fn inputs_for_result_decode() {
    replay("result_decode");
}

#[test]
fn inputs_for_round_trip() {
    replay("round_trip");
}

#[test]
fn inputs_for_version() {
    replay("version");
}

/// A target that is not replayed would be a gap that nobody notices.
#[test]
fn every_target_is_replayed_and_has_a_program() {
    let this = include_str!("corpus.rs");
    let programs = folder("../fuzz_targets");
    for (name, _) in fuzzing::TARGETS {
        assert!(this.contains(&format!("replay(\"{name}\")")), "{name}");
        let program = programs.join(format!("{name}.rs"));
        let text = fs::read_to_string(&program).unwrap();
        assert!(text.contains(&format!("dlm_proto::fuzzing::{name}(")), "{}", program.display());
    }
}

/// The seeds are there as they are written below, so that a changed layout is not forgotten here.
#[test]
#[cfg_attr(target_endian = "big", ignore = "the files were written on a little-endian machine")]
fn seeds_are_up_to_date() {
    for (target, seeds) in all_seeds() {
        for (name, bytes) in seeds {
            let path = folder(target).join(&name);
            assert!(
                fs::read(&path).unwrap_or_default() == bytes,
                "{} is old: see the top of this file",
                path.display()
            );
        }
    }
}

#[test]
#[ignore = "writes fuzz/corpus"]
fn write_seeds() {
    for (target, seeds) in all_seeds() {
        fs::create_dir_all(folder(target)).unwrap();
        for (name, bytes) in seeds {
            fs::write(folder(target).join(name), bytes).unwrap();
        }
    }
}

fn all_seeds() -> [(&'static str, Vec<Seed>); 6] {
    [
        ("debugfs", debugfs()),
        ("names", names()),
        ("request_decode", requests()),
        ("result_decode", results()),
        ("round_trip", values()),
        ("version", versions()),
    ]
}

/// Files of kernels, and lines that come in other situations.
fn debugfs() -> Vec<Seed> {
    let odd = "rsb (____ptrval____) -1 1f 12 1 1 3 0 str \n\
               lkb ffffffff -1 1 4294967295 18446744073709551615 80 10002 0 -1 5 -1 1 6 1 2 3\n\
               lvb 4294967295 0\nlvb 0 1 ff\nrsb 0 2 0 0 0 0 0 1 hex 00\n";
    [
        ("6.1", include_str!("debugfs/6.1_all")),
        ("6.12", include_str!("debugfs/6.12_all")),
        ("odd", odd),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
    .to_vec()
}

/// What a real kernel accepted, or gave.
fn golden(is_request: bool) -> Vec<Seed> {
    let mut seeds = Vec::new();
    for abi in [Abi::V6_64, Abi::V6_32] {
        let bits = abi.width as u8 * 32 + 32;
        for record in records(abi) {
            if record.is_request == is_request && record.name != "version" {
                seeds.push((format!("golden-{bits}-{}", record.name), record.bytes));
            }
        }
    }
    seeds
}

/// The golden vectors, and version 5, which no kernel of today speaks.
fn requests() -> Vec<Seed> {
    let mut seeds = golden(true);
    let cookies = Cookies::for_token_in(Token::new(3, 1), 7, Abi::V5_32.width).unwrap();
    let lvb = ValueBlock([0x11; LVB_LEN]);
    let unlock = UnlockRequest::new(LockId(1), cookies).with(LockFlags::CANCEL);
    let lock = LockRequest::new(b"disk0", Mode::Ex, cookies);
    for abi in Abi::ALL {
        for (name, request) in [
            ("lock", Request::Lock(lock.with_lvb(&lvb))),
            ("lock-64", Request::Lock(LockRequest { name: &[b'n'; 64], ..lock })),
            ("cancel", Request::Unlock(unlock)),
            ("create", Request::CreateLockspace { name: b"a", flags: LockspaceFlags::NEWEXCL }),
            ("remove", Request::RemoveLockspace { minor: Minor(3), flags: RemoveFlags::all() }),
        ] {
            let mut buffer = [0; MAX_REQUEST_LEN];
            let bytes = request.encode(abi, &mut buffer).unwrap();
            seeds.push((format!("{}-{name}", short(abi)), bytes.to_vec()));
        }
    }
    seeds
}

fn results() -> Vec<Seed> {
    let mut seeds = golden(false);
    let lvb = ValueBlock([0x22; LVB_LEN]);
    for abi in [Abi::V5_64, Abi::V5_32] {
        let completion = LockResult {
            version: Version::V5,
            addr: Cookies::COMPLETION,
            param: Token::new(3, 1).to_word(abi.width).unwrap(),
            lksb: 7,
            status: LockStatus::Granted,
            lock: LockId(1),
            flags: StatusFlags::ALTMODE,
            bast_mode: Mode::Nl.into(),
            lvb: Some(&lvb),
        };
        let blocking = LockResult {
            addr: Cookies::BLOCKING,
            flags: StatusFlags::empty(),
            bast_mode: Mode::Pr.into(),
            lvb: None,
            ..completion
        };
        for (name, result) in [("completion", completion), ("blocking", blocking)] {
            let mut buffer = [0; MAX_RESULT_LEN];
            let bytes = result.encode(abi, &mut buffer).unwrap();
            seeds.push((format!("{}-{name}", short(abi)), bytes.to_vec()));
        }
    }
    seeds
}

/// One input for each kind of value; the first byte chooses it (see `fuzzing::round_trip`).
fn values() -> Vec<Seed> {
    let kinds = (0..8).flat_map(|kind| [kind, kind | 0x18]).chain([0x80, 0x99, 0x9c, 0x9e]);
    let tail: Vec<u8> = (1..=120).collect();
    kinds.map(|kind| (format!("kind-{kind:02x}"), [&[kind], &tail[..]].concat())).collect()
}

fn versions() -> Vec<Seed> {
    let mut seeds = vec![("short".into(), vec![6, 0, 0]), ("einval".into(), vec![22, 0, 0, 0])];
    for version in [Version::V6, Version::V5, Version::new(6, 0, 2), Version::new(7, 1, 0)] {
        seeds.push((format!("{version}"), version.encode().to_vec()));
        seeds.push((
            format!("{version}-6.0.0"),
            [version, Version::V6].map(Version::encode).concat(),
        ));
    }
    seeds
}

fn names() -> Vec<Seed> {
    let examples: [(&str, &[u8]); 10] = [
        ("empty", b""),
        ("plain", b"disk0"),
        ("dot", b"."),
        ("dots", b".."),
        ("three-dots", b"..."),
        ("slash", b"a/b"),
        ("blank", b"a b"),
        ("nul", b"a\0b"),
        ("64", &[b'x'; 64]),
        ("65", &[b'x'; 65]),
    ];
    let mut seeds: Vec<_> = examples.map(|(name, bytes)| (name.into(), bytes.to_vec())).into();
    seeds.push(("utf-8".into(), "größe".as_bytes().to_vec()));
    seeds
}

/// `v6-64` and the like.
fn short(abi: Abi) -> String {
    format!("v{}-{}", abi.version.request_version().major, abi.width as u8 * 32 + 32)
}
