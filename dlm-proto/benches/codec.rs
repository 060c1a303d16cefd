//! The cost of one record. `cargo xtask bench` runs this for time and, under valgrind, for
//! instructions.
//!
//! `codec` lists its rows; `codec ROW COUNT` does one COUNT times and prints the nanoseconds of
//! each.

#![allow(clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use dlm_proto::{
    Abi, Cookies, Event, LockFlags, LockId, LockRequest, LockResult, LockStatus, MAX_REQUEST_LEN,
    MAX_RESULT_LEN, Mode, ModeCode, Request, StatusFlags, Token, UnlockRequest, ValueBlock,
    Version,
};

const NAME: &[u8] = b"a-resource-of-32-bytes-or-so....";

fn encode_lock(count: u64) {
    let cookies = Cookies::for_token(Token::new(7, 9), 4711);
    let mut buffer = [0; MAX_REQUEST_LEN];
    for _ in 0..count {
        let request = LockRequest::new(black_box(NAME), Mode::Ex, cookies).with(LockFlags::VALBLK);
        let bytes = Request::Lock(request).encode(black_box(Abi::V6_64), &mut buffer).unwrap();
        black_box(bytes);
    }
}

fn encode_unlock(count: u64) {
    let cookies = Cookies::for_token(Token::new(7, 9), 4711);
    let mut buffer = [0; MAX_REQUEST_LEN];
    let block = ValueBlock([3; 32]);
    for _ in 0..count {
        let request = UnlockRequest::new(black_box(LockId(5)), cookies).with_lvb(&block);
        let bytes = Request::Unlock(request).encode(black_box(Abi::V6_64), &mut buffer).unwrap();
        black_box(bytes);
    }
}

fn decode(count: u64, lvb: Option<&ValueBlock>) {
    let cookies = Cookies::for_token(Token::new(7, 9), 4711);
    let result = LockResult {
        version: Version::V6,
        addr: cookies.completion_addr,
        param: cookies.completion_param,
        lksb: cookies.lksb,
        status: LockStatus::Granted,
        lock: LockId(5),
        flags: StatusFlags::empty(),
        bast_mode: ModeCode(0),
        lvb,
    };
    let mut buffer = [0; MAX_RESULT_LEN];
    let bytes = result.encode(Abi::V6_64, &mut buffer).unwrap();
    for _ in 0..count {
        let abi = black_box(Abi::V6_64);
        let event = LockResult::decode(abi, black_box(bytes)).unwrap().event(abi.width).unwrap();
        match event {
            Event::Completion { token, status, lvb, .. } => {
                black_box((token, status == LockStatus::Granted));
                if let Some(lvb) = lvb {
                    black_box(lvb);
                }
            }
            Event::Blocking { token, mode, .. } => {
                black_box((token, mode));
            }
        }
    }
}

fn decode_plain(count: u64) {
    decode(count, None);
}

fn decode_with_block(count: u64) {
    decode(count, Some(&ValueBlock([3; 32])));
}

type Row = (&'static str, fn(u64));

const ROWS: [Row; 4] = [
    ("encode-lock", encode_lock),
    ("encode-unlock", encode_unlock),
    ("decode-result", decode_plain),
    ("decode-result-with-block", decode_with_block),
];

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let (Some(name), Some(count)) = (arguments.first(), arguments.get(1)) else {
        ROWS.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    let row = ROWS.iter().find(|(row, _)| row == name);
    let (Some((_, run)), Ok(count)) = (row, count.parse::<u32>()) else {
        eprintln!("usage: codec [ROW COUNT]");
        return ExitCode::FAILURE;
    };
    let start = Instant::now();
    run(count.into());
    println!("{:.2}", start.elapsed().as_secs_f64() * 1e9 / f64::from(count));
    ExitCode::SUCCESS
}
