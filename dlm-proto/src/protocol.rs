//! The protocol, for somebody who has never seen it. This module holds no code.
//!
//! # Devices
//!
//! The kernel's `dlm` module makes character devices of the misc major number, 10:
//!
//! * `/dev/dlm-control` creates and removes *lockspaces*;
//! * `/dev/dlm_NAME`, one for each lockspace on this node, carries its locks.
//!
//! There is no ioctl. A `write` carries one request. Its return value is **not** a count of bytes,
//! but the answer to the request: a lock id, a minor number, or 0. A `read` returns one *result*,
//! if there is one, and `poll` says whether there is. A `read` of exactly 12 bytes is something
//! else: it returns the version of the kernel's device interface, on any of the devices.
//!
//! # Requests and results
//!
//! A request starts with a version, a command, and whether the program has 32-bit or 64-bit words.
//! The kernel refuses another major version, or a higher minor version, with EBADE.
//!
//! A lock request names a *resource* (0 to 64 bytes behind the record) and a *mode*. When the
//! kernel has taken it, it has returned a lock id, and owes the program one *completion*: granted,
//! or refused, cancelled, or chosen as a deadlock's victim. The same goes for a conversion, which
//! names the lock by its id, and for an unlock. A holder can also get *blocking notices*: somebody
//! waits for a mode that this lock keeps from being granted.
//!
//! So a result must find its way back to a lock. For that each request carries five words, which
//! the kernel stores with the lock and returns without looking at them: an address and a parameter
//! for completions, the same for blocking notices, and the address of a status block (`lksb`). C
//! libdlm puts pointers there and follows them when they come back. This crate puts a
//! [`Token`](crate::Token) there, which is looked up in a table, and marks that tell a completion
//! from a blocking notice, as nothing else in the result does.
//!
//! Three words have meaning for the kernel all the same: a completion's address and the `lksb` must
//! not be zero, and a zero address for blocking notices means that none are wanted.
//!
//! # The life of a lock as bytes
//!
//! Seen on Linux 6.1, from a 64-bit little-endian program. The left column is the offset in the
//! record. The lines are made from the golden vectors in `tests/golden`, which are held against
//! each kernel that the tests run on.
//!
//! ```text
#![doc = include_str!("protocol/life.txt")]
//! ```
//!
//! # Traps
//!
//! * Count the bytes: a lock request is 120 bytes and its name, and `namelen` must be the length
//!   of that name. The kernel does not compare, and reads on behind what it was given.
//! * Pass 104 bytes to each `read`. With 72 to 103 the value block is lost; with 52 to 71 the
//!   kernel writes behind the end of the buffer.
//! * A result may be read by another thread before the `write` that caused it returns.
//! * A lock id is free again as soon as the lock is gone, even if nobody has read that yet, and the
//!   kernel believes whatever id it is given.
//! * An unlock of a PW or EX lock whose last request or conversion had VALBLK stores the request's
//!   value block in the resource, asked to or not.
//! * A value block in a result counts only if that operation had VALBLK and is one that reads it
//!   ([`Mode::lvb_transfer`](crate::Mode::lvb_transfer)); otherwise it is an echo.
//! * A cancel has no completion of its own. It changes how the pending operation completes, or
//!   comes too late.
//! * 32-bit programs write 4 bytes more than their fields need, or a 64-bit kernel cuts the name.
//!
//! # Older kernels
//!
//! Device version 5 (before 2.6.2x) had the same idea in another layout, with 16 flag bits and
//! without transaction ids, timeouts, purges and deadlock cancels; see
//! [`AbiVersion`](crate::AbiVersion) and [`layout::v5`](crate::layout::v5).
