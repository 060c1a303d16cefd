//! The golden vectors of dlm-proto: the bytes of a conversation with the kernel.
//!
//! The conversation is held with the kernel that runs, and each record must be the one in the
//! file, apart from the numbers that the kernel hands out. With `DLM_GOLDEN=print` in the
//! environment the records are printed instead, in the form of the file.

use std::fmt::Write;
use std::os::fd::AsFd;

use dlm_proto::{
    Abi, Cookies, LockFlags, LockId, LockRequest, LockspaceFlags, LockspaceName, MAX_RESULT_LEN,
    Minor, Mode, NodeId, PointerWidth, RemoveFlags, Request, Token, UnlockRequest, VERSION_LEN,
    ValueBlock,
};
use dlm_sys::LockspaceDevice;
use dlm_tests::{PATIENCE, control_device, encode_as};

/// What was written and read, a line each.
struct Conversation {
    abi: Abi,
    lines: Vec<(String, Vec<u8>)>,
}

impl Conversation {
    fn add(&mut self, who: &str, what: &str, bytes: &[u8]) {
        self.lines.push((format!("{who} {what}"), bytes.to_vec()));
    }

    fn write(&mut self, device: &Device, what: &str, request: &Request<'_>) -> u32 {
        let bytes = encode_as(self.abi, request);
        let answer = device.device.submit_raw(&bytes).expect(what);
        self.add(&format!("{}>", device.name), what, &bytes);
        u32::try_from(answer).unwrap()
    }

    fn read(&mut self, device: &Device, what: &str) {
        let mut buffer = [0xa5; MAX_RESULT_LEN];
        assert!(device.device.poll(Some(PATIENCE)).unwrap(), "no result: {what}");
        let len = device.device.read_result(&mut buffer).unwrap().expect(what);
        self.add(&format!("{}<", device.name), what, &buffer[..len]);
    }
}

struct Device {
    name: char,
    device: LockspaceDevice,
}

/// The words of lock `n`, as dlm-runtime makes them.
fn words(abi: Abi, n: u32) -> Cookies {
    Cookies::for_token_in(Token::new(n, 1), 4711, abi.width).unwrap()
}

fn converse(abi: Abi, name: &[u8]) -> Conversation {
    let mut all = Conversation { abi, lines: Vec::new() };
    let control = control_device();
    let create = Request::CreateLockspace { name, flags: LockspaceFlags::NEWEXCL };
    let bytes = encode_as(abi, &create);
    let minor = control.submit_raw(&bytes).expect("create");
    all.add("c>", "create", &bytes);
    let minor = Minor(u32::try_from(minor).unwrap());

    let name = LockspaceName::new(name).unwrap();
    let open = |name_: char| Device {
        name: name_,
        device: LockspaceDevice::open_within(&name, Some(minor), PATIENCE).unwrap(),
    };
    let (one, two) = (open('1'), open('2'));
    let mut version = [0; VERSION_LEN];
    assert_eq!(nix::unistd::read(one.device.as_fd(), &mut version).unwrap(), VERSION_LEN);
    all.add("1<", "version", &version);

    lock_and_convert(&mut all, &one, &two);
    all.write(&one, "purge", &Request::Purge { node: NodeId(0), pid: 1 });

    drop((one, two));
    let remove = Request::RemoveLockspace { minor, flags: RemoveFlags::FORCEFREE };
    let bytes = encode_as(abi, &remove);
    control.submit_raw(&bytes).expect("remove");
    all.add("c>", "remove", &bytes);
    all
}

fn lock_and_convert(all: &mut Conversation, one: &Device, two: &Device) {
    let abi = all.abi;
    let (first, second) = (words(abi, 0), words(abi, 1));
    let mut block = ValueBlock::ZERO;
    for (byte, n) in block.0.iter_mut().zip(1..) {
        *byte = n;
    }
    let request = LockRequest::new(b"disk0", Mode::Ex, first).with(LockFlags::VALBLK);
    let a = LockId(all.write(one, "lock-ex", &Request::Lock(request)));
    all.read(one, "granted-with-block");

    let request = LockRequest::new(b"disk0", Mode::Pr, second).with(LockFlags::NOQUEUE);
    all.write(two, "lock-noqueue", &Request::Lock(request));
    all.read(two, "again");

    let request = LockRequest::new(b"disk0", Mode::Pr, second);
    let b = LockId(all.write(two, "lock-waits", &Request::Lock(request)));
    all.read(one, "blocking-pr");
    all.write(two, "cancel", &Request::Unlock(UnlockRequest::cancel(b, second)));
    all.read(two, "cancelled");

    let request = LockRequest::convert(a, Mode::Pr, first).with_lvb(&block);
    all.write(one, "convert-writes-block", &Request::Lock(request));
    all.read(one, "converted");

    let request = LockRequest::new(b"disk0", Mode::Cr, second).with(LockFlags::VALBLK);
    let c = LockId(all.write(two, "lock-reads-block", &Request::Lock(request)));
    all.read(two, "granted-block-read");

    let request = LockRequest::new(b"disk0", Mode::Ex, second);
    let d = LockId(all.write(two, "lock-victim", &Request::Lock(request)));
    all.read(one, "blocking-ex-one");
    all.read(two, "blocking-ex-two");
    all.write(two, "deadlock", &Request::Deadlock { lock: d, flags: LockFlags::CANCEL });
    all.read(two, "deadlocked");

    all.write(two, "unlock", &Request::Unlock(UnlockRequest::new(c, second)));
    all.read(two, "unlocked");
    let request = UnlockRequest::new(a, first).with(LockFlags::FORCEUNLOCK);
    all.write(one, "unlock-force", &Request::Unlock(request));
    all.read(one, "unlocked-by-force");
}

/// The record without the numbers that the kernel hands out: lock ids, minor numbers, versions of
/// the kernel.
fn masked(abi: Abi, name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let id = match (name.as_bytes()[1], abi.width) {
        (b'>', _) if name == "c> remove" => 20,
        (b'>', _) => 24,
        (_, PointerWidth::W64) => 44,
        (_, PointerWidth::W32) => 32,
    };
    if name != "c> create" && bytes.len() > VERSION_LEN {
        bytes[id..id + 4].fill(0);
    }
    if name.as_bytes()[1] == b'<' {
        bytes[4..12].fill(0);
    }
    bytes
}

fn parse(file: &str) -> Vec<(String, Vec<u8>)> {
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, hex) = line.rsplit_once(' ').unwrap();
            let digit = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            (name.to_owned(), (0..hex.len()).step_by(2).map(digit).collect())
        })
        .collect()
}

fn check(abi: Abi, name: &[u8], file: &str) {
    let held = converse(abi, name).lines;
    if std::env::var_os("DLM_GOLDEN").is_some_and(|value| value == "print") {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut text = format!("# {abi}; seen on Linux {release}");
        for (name, bytes) in &held {
            write!(text, "{name} ").unwrap();
            bytes.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
            text.push('\n');
        }
        print!("{text}");
        return;
    }
    let mask = |(name, bytes): &(String, Vec<u8>)| (name.clone(), masked(abi, name, bytes));
    let wanted: Vec<_> = parse(file).iter().map(mask).collect();
    assert_eq!(held.iter().map(mask).collect::<Vec<_>>(), wanted);
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn golden_vectors_of_64_bit_programs_hold() {
    check(Abi::V6_64, b"golden64", include_str!("../../dlm-proto/tests/golden/v6-64.txt"));
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn golden_vectors_of_32_bit_programs_hold() {
    check(Abi::V6_32, b"golden32", include_str!("../../dlm-proto/tests/golden/v6-32.txt"));
}
