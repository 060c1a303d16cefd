//! Locks without `std`: a client for the records of `dlm-proto`, over a transport of one's own.
//!
//! A firmware, a unikernel or an agent in another language's runtime has no dlm-runtime, but may reach a DLM
//! device: by a system call, a serial line, a host's port. `Client` needs `core` alone: bytes go out, bytes
//! come in. Here the transport is a device of this node.
//!
//! dlm-proto writes and reads the records. Who wants the rules of locks as well, many locks and deadlines,
//! puts dlm-core (which needs `alloc`) between the two.
//!
//! `cargo run -p dlm-runtime --features engine --example no_std_transport -- --engine`

#![no_std]

use core::fmt;

use dlm_proto::{
    Abi, Command, Cookies, Event, LockFlags, LockId, LockRequest, LockResult, LockStatus,
    MAX_REQUEST_LEN, MAX_RESULT_LEN, Mode, Request, Token, UnlockRequest, ValueBlock,
};

/// What carries the bytes.
trait Transport {
    type Error;

    /// Writes a request, and gives what the lock manager answered: the id, of a new lock.
    fn write(&mut self, command: Command, request: &[u8]) -> Result<Option<LockId>, Self::Error>;

    /// Waits for a result, and gives its length.
    fn read(&mut self, result: &mut [u8; MAX_RESULT_LEN]) -> Result<usize, Self::Error>;
}

enum Failure<E> {
    Transport(E),
    Encode(dlm_proto::EncodeError),
    Decode(dlm_proto::DecodeError),
    /// What the operation ended with.
    Refused(LockStatus),
    /// A request for a lock was answered without its id.
    NoId,
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => write!(f, "{error}"),
            Self::Encode(error) => write!(f, "{error}"),
            Self::Decode(error) => write!(f, "{error}"),
            Self::Refused(status) => write!(f, "{status}"),
            Self::NoId => f.write_str("the lock has no id"),
        }
    }
}

/// One operation after the other, each waited for.
struct Client<T> {
    transport: T,
    abi: Abi,
    /// Names the operation in its result.
    serial: u32,
}

/// A lock that is held.
struct Held {
    id: LockId,
    block: Option<ValueBlock>,
}

/// What an operation has brought: an id, of a new lock, and a value block.
type Outcome = (Option<LockId>, Option<ValueBlock>);

impl<T: Transport> Client<T> {
    fn lock(&mut self, name: &[u8], mode: Mode) -> Result<Held, Failure<T::Error>> {
        let flags = LockFlags::VALBLK | LockFlags::NOQUEUE;
        let request = LockRequest::new(name, mode, self.cookies()).with(flags);
        let (id, block) = self.operate(&Request::Lock(request), LockStatus::Granted)?;
        Ok(Held { id: id.ok_or(Failure::NoId)?, block })
    }

    /// Unlocks, and leaves a value for the next one.
    fn unlock(&mut self, lock: &Held, block: &ValueBlock) -> Result<(), Failure<T::Error>> {
        let request = UnlockRequest::new(lock.id, self.cookies());
        let request = request.with(LockFlags::VALBLK).with_lvb(block);
        self.operate(&Request::Unlock(request), LockStatus::Unlocked).map(|_| ())
    }

    fn cookies(&mut self) -> Cookies {
        self.serial += 1;
        Cookies::for_token(self.token(), 0)
    }

    fn token(&self) -> Token {
        Token::new(0, self.serial)
    }

    /// Sends a request, and waits for the end of the operation.
    fn operate(
        &mut self,
        request: &Request<'_>,
        wanted: LockStatus,
    ) -> Result<Outcome, Failure<T::Error>> {
        let mut bytes = [0; MAX_REQUEST_LEN];
        let bytes = request.encode(self.abi, &mut bytes).map_err(Failure::Encode)?;
        let id = self.transport.write(request.command(), bytes).map_err(Failure::Transport)?;
        loop {
            let mut result = [0; MAX_RESULT_LEN];
            let len = self.transport.read(&mut result).map_err(Failure::Transport)?;
            let bytes = result.get(..len).unwrap_or_default();
            let result = LockResult::decode(self.abi, bytes).map_err(Failure::Decode)?;
            match result.event(self.abi.width).map_err(Failure::Decode)? {
                Event::Completion { token, status, lvb, .. } if token == self.token() => {
                    let ended = status == wanted;
                    return if ended {
                        Ok((id, lvb.copied()))
                    } else {
                        Err(Failure::Refused(status))
                    };
                }
                // Of an operation before.
                _ => {}
            }
        }
    }
}

// All that follows is this example's, and needs `std`: a device of this node as the transport.
extern crate std;

mod common;

use std::boxed::Box;
use std::format;
use std::println;

use dlm_runtime::backend::{Accepted, BackendDevice, Error, LockspaceFlags, LockspaceName};
use dlm_runtime::backend::{RemoveFlags, sys};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

struct Device(Box<dyn BackendDevice>);

impl Transport for Device {
    type Error = Error;

    fn write(&mut self, command: Command, request: &[u8]) -> Result<Option<LockId>, Error> {
        Ok(match self.0.submit(command, request)? {
            Accepted::Lock(id) => Some(id),
            Accepted::Done => None,
        })
    }

    fn read(&mut self, result: &mut [u8; MAX_RESULT_LEN]) -> Result<usize, Error> {
        loop {
            if let Some(len) = self.0.read_result(result)? {
                return Ok(len);
            }
            poll(&mut [PollFd::new(self.0.results(), PollFlags::POLLIN)], PollTimeout::NONE)
                .map_err(|errno| Error::os(sys::Call::Poll, errno.into()))?;
        }
    }
}

impl Client<Device> {
    fn new(device: Box<dyn BackendDevice>) -> Self {
        Self { abi: device.abi(), transport: Device(device), serial: 0 }
    }
}

fn main() -> common::Result<()> {
    let backend = common::backend()?;
    let name = LockspaceName::new(b"no_std_transport")?;
    let minor = backend.create(&name, LockspaceFlags::empty())?;
    let open = || backend.open(&name, Some(minor), core::time::Duration::from_secs(10));
    let (mut one, mut two) = (Client::new(open()?), Client::new(open()?));
    let failed = |failure: Failure<Error>| format!("{failure}");

    // Keeps the resource, and so its value block.
    let keeper = two.lock(b"counter", Mode::Nl).map_err(failed)?;
    for count in 0..10_u64 {
        let client = if count % 2 == 0 { &mut one } else { &mut two };
        let held = client.lock(b"counter", Mode::Ex).map_err(failed)?;
        if held.block.and_then(|block| block.u64_at(0)) != Some(count) {
            return Err(format!("{:?} was read, {count} was written", held.block).into());
        }
        let block = ValueBlock::ZERO.with_u64_at(0, count + 1).ok_or("too long")?;
        client.unlock(&held, &block).map_err(failed)?;
    }
    let held = one.lock(b"counter", Mode::Ex).map_err(failed)?;
    match two.lock(b"counter", Mode::Pr) {
        Err(Failure::Refused(LockStatus::Again)) => {}
        _ => return Err("granted beside EX".into()),
    }
    one.unlock(&held, &ValueBlock::ZERO).map_err(failed)?;
    two.unlock(&keeper, &ValueBlock::ZERO).map_err(failed)?;

    drop((one, two));
    backend.remove(minor, RemoveFlags::empty())?;
    println!("two clients have counted to 10 in turns");
    Ok(())
}
