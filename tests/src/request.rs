//! Requests and the words in them.

use dlm_proto::{Abi, Cookies, MAX_REQUEST_LEN, Request, ValueBlock};

/// Five words that are all different, and different for each `n`, below 32 bits.
#[must_use]
pub const fn cookies(n: u8) -> Cookies {
    let n = n as u64;
    Cookies {
        completion_addr: 0xca00_0000 | n,
        completion_param: 0xcb00_0000 | n,
        blocking_addr: 0xba00_0000 | n,
        blocking_param: 0xbb00_0000 | n,
        lksb: 0x5b00_0000 | n,
    }
}

/// A value block with `byte` in all places.
#[must_use]
pub const fn block(byte: u8) -> ValueBlock {
    ValueBlock([byte; 32])
}

/// A request as a 64-bit program writes it.
#[must_use]
pub fn encode(request: &Request<'_>) -> Vec<u8> {
    encode_as(Abi::V6_64, request)
}

/// A request in any layout.
#[must_use]
pub fn encode_as(abi: Abi, request: &Request<'_>) -> Vec<u8> {
    let mut buffer = [0xa5; MAX_REQUEST_LEN];
    request.encode(abi, &mut buffer).expect("the test's request has a form in this layout").to_vec()
}
