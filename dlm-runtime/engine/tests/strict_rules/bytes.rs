//! Bytes and buffers.

use super::*;

#[test]
fn the_control_device() {
    let create = |name| Request::CreateLockspace { name, flags: LockspaceFlags::empty() };
    let remove = |minor| Request::RemoveLockspace { minor, flags: RemoveFlags::empty() };
    let check = |request: &Request<'_>| check_control(Abi::V6_64, &encode(request));
    assert_eq!(check(&create(b"a b")), Ok(()));
    assert_eq!(check(&create(b"a/b")), Err(Violation::SlashInName));
    assert_eq!(check(&remove(Minor(5))), Ok(()));
    assert_eq!(check(&remove(Minor(0))), Err(Violation::MinorZero));
    assert_eq!(
        [Violation::SlashInName, Violation::MinorZero].map(|it| it.rule()),
        ["#slash-in-a-name", "#minor-zero"]
    );
}

#[test]
fn a_seventh_unread_result() {
    let mut it = Program::new();
    it.0.unread(id(1), 6).unwrap();
    it.0.unread(id(1), 7).unwrap_err();
    it.reported(Violation::TooManyUnread(id(1)), "#seventh-unread-result");
}

#[test]
fn lengths() {
    let bytes = encode(&lock(1, Mode::Ex, NONE));
    let mut it = Program::new();
    it.0.begin_write(&bytes[..119]).unwrap_err();
    let truncated = DecodeError::Truncated { need: 120, have: 119 };
    it.reported(Violation::Malformed(truncated), "#unchecked-lengths");

    let mut it = Program::new();
    it.0.begin_write(&bytes[..120]).unwrap_err();
    let name = DecodeError::NameLength { most: 0, got: 1 };
    it.reported(Violation::Malformed(name), "#unchecked-lengths");

    for len in [52, 71, 72, 103] {
        let mut it = Program::new();
        it.0.begin_read(len).unwrap_err();
        it.reported(Violation::ShortRead { len, wanted: 104 }, "#unchecked-lengths");
    }
    let mut it = Program::new();
    let version = it.0.begin_read(12).unwrap();
    let reading = it.0.begin_read(104).unwrap();
    it.0.end_read(version, None);
    it.0.end_read(reading, None);
    it.clean();
}

#[test]
fn bytes_that_are_no_request() {
    let narrow = {
        let mut buffer = [0; MAX_REQUEST_LEN];
        let request =
            Request::Unlock(UnlockRequest::new(id(1), Cookies::for_token(Token::new(1, 1), 1)));
        let mut bytes = request.encode(Abi::V6_64, &mut buffer).unwrap().to_vec();
        bytes[13] = 0;
        bytes
    };
    let mut it = Program::new();
    it.0.begin_write(&narrow).unwrap_err();
    it.reported(
        Violation::Malformed(DecodeError::Width { wanted: 1, got: 0 }),
        "#short-results-for-ever",
    );

    let mut bytes = encode(&unlock(1, NONE));
    bytes[12] = 3;
    let mut it = Program::new();
    it.0.begin_write(&bytes).unwrap_err();
    it.reported(Violation::Malformed(DecodeError::Command(3)), "#order-of-checks");

    let mut it = Program::new();
    let LockRequest { cookies, .. } = LockRequest::new(b"", Mode::Nl, cookies(1));
    let odd = LockRequest { mode: ModeCode(6), ..LockRequest::new(b"", Mode::Nl, cookies) };
    it.begin(&Request::Lock(odd)).unwrap_err();
    it.reported(Violation::UnknownMode(ModeCode(6)), "#modes-and-names");
}

#[test]
fn two_readers() {
    let mut it = Program::new();
    let reading = it.0.begin_read(104).unwrap();
    it.0.begin_read(104).unwrap_err();
    it.reported(Violation::SecondReader, "#two-readers");
    it.0.end_read(reading, None);
    let reading = it.0.begin_read(104).unwrap();
    it.0.end_read(reading, None);
}
