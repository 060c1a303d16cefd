//! The byte protocol between user space and the Linux kernel's Distributed Lock Manager.
//!
//! The kernel's `dlm` module offers one character device per lockspace. A `write` carries one
//! request, a `read` returns one result. This crate defines both as zero-copy structs, turns
//! typed requests into bytes and bytes into typed results, and the other way round for programs
//! that play the kernel's part. It performs no system call, allocates nothing, needs no `std`
//! and contains no `unsafe`.
//!
//! # The layers
//!
//! * [`protocol`]: a page that explains the protocol, with the life of a lock as bytes.
//! * [`interface`]: a page of facts, what each device takes, answers and refuses.
//! * [`layout`]: the raw structs, one per kernel ABI, with each offset asserted at compile time.
//! * [`Request`] and [`LockResult`]: values that stand for a record in any ABI.
//! * [`plain`]: the commonest records, in the fewest instructions.
//! * [`debugfs`]: the kernel's own account of the locks of a lockspace, as records.
//! * [`Abi`]: which of the four layouts is spoken: device version 5 or 6, with 64-bit or 32-bit
//!   words. It is a value and not a feature, so that all four are compiled and tested everywhere.
//! * [`Token`]: what a program sends through the kernel in place of a pointer.
//!
//! # Example
//!
//! A request for an exclusive lock, as bytes for a 64-bit kernel of device version 6:
//!
//! ```
//! use dlm_proto::{Abi, Cookies, LockRequest, MAX_REQUEST_LEN, Mode, Request, Token};
//!
//! let token = Token::new(7, 1);
//! let request = Request::Lock(LockRequest::new(b"disk0", Mode::Ex, Cookies::for_token(token, 1)));
//! let mut buffer = [0; MAX_REQUEST_LEN];
//! let bytes = request.encode(Abi::V6_64, &mut buffer)?;
//! assert_eq!(bytes.len(), 120 + 5);
//! # Ok::<(), dlm_proto::EncodeError>(())
//! ```
//!
//! # Where the facts come from
//!
//! `linux/dlm_device.h`, `linux/dlm.h` and `linux/dlmconstants.h`, the manual pages of libdlm, and
//! the project's tests on the Debian kernels 6.1 and 6.12, which [`interface`] cites.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod debugfs;
mod error;
mod flags;
#[doc(hidden)]
pub mod fuzzing;
mod id;
#[doc = include_str!("../docs/interface.md")]
pub mod interface {}
pub mod layout;
mod lvb;
mod mode;
mod name;
pub mod plain;
pub mod protocol;
mod request;
mod result;
mod status;
mod text;
mod token;
mod version;

pub use error::{DecodeError, EncodeError};
pub use flags::{LockFlags, LockspaceFlags, RemoveFlags, StatusFlags};
pub use id::{LockId, Minor, NodeId};
pub use lvb::{LVB_LEN, ValueBlock};
pub use mode::{LvbTransfer, Mode, ModeCode};
pub use name::{LockspaceName, MAX_NAME_LEN, NameError, ResourceName};
pub use request::{Command, LockRequest, MAX_REQUEST_LEN, Request, UnlockRequest};
pub use result::{Event, LockResult, MAX_RESULT_LEN};
pub use status::LockStatus;
pub use text::ParseError;
pub use token::{Cookies, Token};
pub use version::{
    Abi, AbiVersion, NegotiateError, PointerWidth, UnsupportedVersion, VERSION_LEN, Version,
};
