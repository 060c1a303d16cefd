//! A 32-bit program on a 64-bit kernel: the same layout, written by this program.

#![cfg(target_pointer_width = "64")]

use dlm_proto::{Abi, LockspaceFlags, RemoveFlags, Request};
use dlm_sys::Errno;
use dlm_tests::{Lockspace, encode_as};

/// The request as a 32-bit program writes it, and as one would without the 4 bytes of padding.
fn forms(request: &Request<'_>) -> (Vec<u8>, Vec<u8>) {
    let padded = encode_as(Abi::V6_32, request);
    let bare = padded[..padded.len() - 4].to_vec();
    (padded, bare)
}

/// Shows #i386-padding.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_lockspace_created_without_padding_has_a_shorter_name() {
    let space = Lockspace::new("compat");
    let longer = format!("{}1234", space.name());
    let create =
        Request::CreateLockspace { name: longer.as_bytes(), flags: LockspaceFlags::empty() };
    // Of the longer name nothing is left but that of the lockspace that exists.
    let minor = space.control().submit_raw(&forms(&create).1).unwrap();
    space.count_creation();
    assert_eq!(u32::try_from(minor).unwrap(), space.minor().0);
    assert_eq!(space.remove(RemoveFlags::empty()), Ok(()));
    let (padded, bare) =
        forms(&Request::RemoveLockspace { minor: space.minor(), flags: RemoveFlags::empty() });
    assert_eq!(space.control().submit_raw(&bare), Err(Errno::EINVAL));
    assert_eq!(space.control().submit_raw(&padded), Ok(0));
    space.count_removal();
}
