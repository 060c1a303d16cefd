//! Version records made of any bytes, and what is agreed on after reading them.

use core::fmt::Write;

use heapless::String;

use super::bytes::{Input, version_at_start};
use crate::error::DecodeError;
use crate::version::{Abi, AbiVersion, NegotiateError, PointerWidth, UnsupportedVersion, Version};

/// Any bytes as a version record, and any version as that of a kernel.
pub fn version(bytes: &[u8]) {
    match Version::decode(bytes) {
        Ok(version) => {
            assert_eq!((bytes.len(), version), (12, version_at_start(bytes)));
            assert_eq!(version.encode(), bytes);
        }
        Err(error) => {
            assert_ne!(bytes.len(), 12, "{error:?}");
            assert_eq!(error, DecodeError::Length { wanted: 12, got: bytes.len() });
        }
    }
    let mut input = Input(bytes);
    let kernel = Version::new(input.u32(), input.u32(), input.u32());
    negotiation(kernel);
    no_version(kernel.major.cast_signed(), bytes);
    let request = Version::new(input.u32(), input.u32(), input.u32());
    let taken = request.major == kernel.major && request.minor <= kernel.minor;
    assert_eq!(kernel.accepts(request), taken, "a kernel of {kernel}, a request of {request}");
}

/// Every kernel of major version 6 takes what this crate writes, and no other does.
fn negotiation(kernel: Version) {
    for width in [PointerWidth::W64, PointerWidth::W32] {
        let agreed = Abi::negotiate(kernel, width);
        let answer = Abi::negotiate_answer(Ok(&kernel.encode()), width);
        let wanted = agreed.map(|abi| (kernel, abi)).map_err(NegotiateError::Unsupported);
        assert_eq!(answer, wanted, "{width:?}");
        match agreed {
            Ok(abi) => {
                assert_eq!(kernel.major, 6);
                assert_eq!(abi, Abi { version: AbiVersion::V6, width });
                assert!(kernel.accepts(abi.version.request_version()), "{kernel}");
            }
            Err(error) => {
                assert_ne!(kernel.major, 6);
                assert_eq!(error, UnsupportedVersion { kernel, ours: Version::new(6, 0, 0) });
                // It does not depend on the width.
                if width == PointerWidth::W64 {
                    assert_names_both(error);
                }
            }
        }
    }
}

/// A read that fails, or that returns something else than a version: only EINVAL, which is 22
/// everywhere, means an old kernel.
fn no_version(errno: i32, bytes: &[u8]) {
    for width in [PointerWidth::W64, PointerWidth::W32] {
        let old = Ok((Version::V5, Abi { version: AbiVersion::V5, width }));
        let wanted = if errno == 22 { old } else { Err(NegotiateError::Failed(errno)) };
        assert_eq!(Abi::negotiate_answer(Err(errno), width), wanted, "{errno}");
        if bytes.len() != 12 {
            let answer = Abi::negotiate_answer(Ok(bytes), width);
            let error = DecodeError::Length { wanted: 12, got: bytes.len() };
            assert_eq!(answer, Err(NegotiateError::Record(error)));
        }
    }
}

/// The text of the error has both versions in it.
fn assert_names_both(error: UnsupportedVersion) {
    let mut text = String::<256>::new();
    let mut number = String::<32>::new();
    let Version { major, minor, patch } = error.kernel;
    let written = write!(text, "{error}").and(write!(number, "{major}.{minor}.{patch}"));
    assert!(written.is_ok(), "{error:?}");
    assert!(text.contains(number.as_str()) && text.contains("6.0.0"), "{text}");
}
