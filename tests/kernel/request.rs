//! New lock requests, as no scenario can say it: byte by byte.

use dlm_proto::{Cookies, LockRequest, Mode, Request};
use dlm_tests::Lockspace;

/// Shows #free-resource-is-granted.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn words_of_64_bits_come_back_whole_and_no_pointer_with_them() {
    let space = Lockspace::new("request");
    let session = space.open();
    let words = Cookies {
        completion_addr: 0xfedc_ba98_7654_3210,
        completion_param: u64::MAX,
        blocking_addr: 1 << 63,
        blocking_param: 0x0123_4567_89ab_cdef,
        lksb: 0x8000_0000_0000_0001,
    };
    session.send(&Request::Lock(LockRequest::new(b"r", Mode::Ex, words))).unwrap();
    let mut buffer = [0xa5; 104];
    assert_eq!(session.device().read_result(&mut buffer).unwrap(), Some(72));
    let word = |at: usize| u64::from_ne_bytes(buffer[at..at + 8].try_into().unwrap());
    assert_eq!(word(16), words.completion_addr);
    assert_eq!(word(24), words.completion_param);
    assert_eq!(word(32), words.lksb);
    assert_eq!(word(56), 0, "sb_lvbptr");
    assert_eq!(buffer[72..], [0xa5; 32], "nothing is written behind the result");
}
