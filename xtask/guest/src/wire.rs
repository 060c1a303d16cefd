//! Frames and messages between the host and the agent in the guest.
//!
//! One virtio-serial port carries everything. A frame is a header of nine bytes (payload length
//! and id as little-endian `u32`, kind as `u8`) and its payload. The id says which request a frame
//! belongs to, so any number of commands can run at the same time; the host chooses it.
//!
//! * A transfer: any number of [`Request::Entry`] and [`Request::Data`], then [`Request::Finish`],
//!   answered by one [`Reply::Done`]. Nothing is answered in between, so many small files cost one
//!   round trip.
//! * A command: [`Request::Run`], answered by any number of [`Reply::Stdout`] and
//!   [`Reply::Stderr`] and exactly one [`Reply::Exit`], which comes last. Input goes as
//!   [`Request::Stdin`]; at most [`WINDOW`] bytes may be without their [`Reply::Taken`], so that a
//!   command that does not read blocks neither the port nor the guest's memory.

use std::io::{self, Read, Write};

/// Name of the virtio-serial port that the agent serves.
pub const PORT: &str = "dlm.agent";
/// Kernel command line word that switches the one-node lockspace controller off.
pub const NO_CONTROLLER: &str = "dlm_guest.controller=off";
/// Largest piece of bulk data in one frame. The kernel moves at most 32 KiB per write.
pub const CHUNK: usize = 32 * 1024;
/// Bytes of standard input that may be under way to one command.
pub const WINDOW: usize = 256 * 1024;

/// A frame longer than this can only come from a stream out of step.
const LONGEST: usize = 1 << 20;
const HEADER: usize = 9;

/// What to create in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A folder; missing parents are created, an existing folder is kept as it is.
    Folder {
        /// Absolute path.
        path: Vec<u8>,
        /// Permission bits.
        mode: u32,
    },
    /// A file; its bytes follow as [`Request::Data`]. Replaces what was there.
    File {
        /// Absolute path.
        path: Vec<u8>,
        /// Permission bits.
        mode: u32,
    },
    /// A symbolic link. Replaces a file or link that was there.
    Link {
        /// Absolute path.
        path: Vec<u8>,
        /// What the link holds.
        target: Vec<u8>,
    },
}

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spawn {
    /// Program and arguments.
    pub argv: Vec<Vec<u8>>,
    /// The whole environment.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// Working directory.
    pub cwd: Vec<u8>,
    /// Whether standard input is fed by the host; otherwise it is empty.
    pub fed: bool,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It exited with this status.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It could not be started: errno and text.
    NotStarted(i32, String),
}

/// Host to guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// First message after every start: the time of day and fresh randomness, which a guest
    /// restored from a snapshot does not have.
    Wake {
        /// Nanoseconds since 1970.
        unix_nanos: u64,
        /// Bytes mixed into the kernel's generator.
        entropy: Vec<u8>,
    },
    /// Next entry of a transfer.
    Entry(Entry),
    /// Bytes of the file begun last.
    Data(Vec<u8>),
    /// End of a transfer.
    Finish,
    /// Runs a command.
    Run(Spawn),
    /// Input of a command.
    Stdin(Vec<u8>),
    /// The input of a command ends.
    StdinEnd,
    /// Sends a signal to the process group of a command.
    Signal(i32),
    /// Asks for the kernel log from this record number on.
    Log {
        /// First record wanted.
        since: u64,
        /// Makes the kernel list its blocked tasks first.
        blocked: bool,
    },
    /// Switches the machine off.
    PowerOff,
}

/// Guest to host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The agent serves; sent once after booting, with id 0.
    Ready,
    /// Answer to [`Request::Wake`].
    Awake,
    /// End of a transfer; the text is empty when all went well.
    Done(String),
    /// This many bytes of input left the window.
    Taken(u32),
    /// Standard output of a command.
    Stdout(Vec<u8>),
    /// Standard error of a command.
    Stderr(Vec<u8>),
    /// End of a command.
    Exit(Outcome),
    /// Part of the kernel log.
    Log(Vec<u8>),
    /// End of the kernel log: the number of the record that comes next.
    LogEnd(u64),
}

/// A message that can travel in a frame.
pub trait Message: Sized {
    /// Kind byte and payload.
    fn encode(&self) -> (u8, Vec<u8>);
    /// The message of a frame.
    ///
    /// # Errors
    ///
    /// `InvalidData` when kind or payload make no sense.
    fn decode(kind: u8, payload: Vec<u8>) -> io::Result<Self>;
}

/// Writes one frame with a single `write_all`.
///
/// # Errors
///
/// Those of the writer, and `InvalidInput` for a message that is too long.
pub fn send<M: Message>(to: &mut impl Write, id: u32, message: &M) -> io::Result<()> {
    let (kind, payload) = message.encode();
    let length = u32::try_from(payload.len())
        .ok()
        .filter(|_| payload.len() <= LONGEST)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "message too long"))?;
    let mut frame = Vec::with_capacity(HEADER + payload.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&id.to_le_bytes());
    frame.push(kind);
    frame.extend_from_slice(&payload);
    to.write_all(&frame)
}

/// Reads one frame.
///
/// # Errors
///
/// Those of the reader (`UnexpectedEof` at the end), and `InvalidData` for nonsense.
pub fn receive<M: Message>(from: &mut impl Read) -> io::Result<(u32, M)> {
    let mut header = [0; HEADER];
    from.read_exact(&mut header)?;
    let mut fields = Fields(&header);
    let (length, id, kind) = (fields.u32()?, fields.u32()?, fields.u8()?);
    let length = usize::try_from(length).ok().filter(|l| *l <= LONGEST).ok_or_else(nonsense)?;
    let mut payload = vec![0; length];
    from.read_exact(&mut payload)?;
    Ok((id, M::decode(kind, payload)?))
}

impl Message for Request {
    fn encode(&self) -> (u8, Vec<u8>) {
        let mut out = Vec::new();
        let kind = match self {
            Self::Wake { unix_nanos, entropy } => {
                out.extend_from_slice(&unix_nanos.to_le_bytes());
                out.extend_from_slice(entropy);
                1
            }
            Self::Entry(Entry::Folder { path, mode }) => {
                out.extend_from_slice(&mode.to_le_bytes());
                out.extend_from_slice(path);
                2
            }
            Self::Entry(Entry::File { path, mode }) => {
                out.extend_from_slice(&mode.to_le_bytes());
                out.extend_from_slice(path);
                3
            }
            Self::Entry(Entry::Link { path, target }) => {
                put(&mut out, path);
                out.extend_from_slice(target);
                4
            }
            Self::Data(bytes) => {
                out.extend_from_slice(bytes);
                5
            }
            Self::Finish => 6,
            Self::Run(spawn) => {
                out.push(u8::from(spawn.fed));
                put(&mut out, &spawn.cwd);
                put_count(&mut out, spawn.argv.len());
                for argument in &spawn.argv {
                    put(&mut out, argument);
                }
                put_count(&mut out, spawn.env.len());
                for (name, value) in &spawn.env {
                    put(&mut out, name);
                    put(&mut out, value);
                }
                7
            }
            Self::Stdin(bytes) => {
                out.extend_from_slice(bytes);
                8
            }
            Self::StdinEnd => 9,
            Self::Signal(number) => {
                out.extend_from_slice(&number.to_le_bytes());
                10
            }
            Self::Log { since, blocked } => {
                out.extend_from_slice(&since.to_le_bytes());
                out.push(u8::from(*blocked));
                11
            }
            Self::PowerOff => 12,
        };
        (kind, out)
    }

    fn decode(kind: u8, payload: Vec<u8>) -> io::Result<Self> {
        let mut fields = Fields(&payload);
        Ok(match kind {
            1 => Self::Wake { unix_nanos: fields.u64()?, entropy: fields.rest() },
            2 => {
                let mode = fields.u32()?;
                Self::Entry(Entry::Folder { path: fields.rest(), mode })
            }
            3 => {
                let mode = fields.u32()?;
                Self::Entry(Entry::File { path: fields.rest(), mode })
            }
            4 => Self::Entry(Entry::Link { path: fields.bytes()?, target: fields.rest() }),
            5 => Self::Data(payload),
            6 => Self::Finish,
            7 => {
                let fed = fields.u8()? != 0;
                let cwd = fields.bytes()?;
                let argv = (0..fields.u32()?).map(|_| fields.bytes()).collect::<Result<_, _>>()?;
                let env = (0..fields.u32()?)
                    .map(|_| Ok((fields.bytes()?, fields.bytes()?)))
                    .collect::<io::Result<_>>()?;
                Self::Run(Spawn { argv, env, cwd, fed })
            }
            8 => Self::Stdin(payload),
            9 => Self::StdinEnd,
            10 => Self::Signal(fields.i32()?),
            11 => Self::Log { since: fields.u64()?, blocked: fields.u8()? != 0 },
            12 => Self::PowerOff,
            _ => return Err(nonsense()),
        })
    }
}

impl Message for Reply {
    fn encode(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Ready => (1, Vec::new()),
            Self::Awake => (2, Vec::new()),
            Self::Done(text) => (3, text.as_bytes().to_vec()),
            Self::Taken(count) => (4, count.to_le_bytes().to_vec()),
            Self::Stdout(bytes) => (5, bytes.clone()),
            Self::Stderr(bytes) => (6, bytes.clone()),
            Self::Exit(Outcome::Code(code)) => (7, code.to_le_bytes().to_vec()),
            Self::Exit(Outcome::Signal(signal)) => (8, signal.to_le_bytes().to_vec()),
            Self::Exit(Outcome::NotStarted(errno, text)) => {
                let mut out = errno.to_le_bytes().to_vec();
                out.extend_from_slice(text.as_bytes());
                (9, out)
            }
            Self::Log(text) => (10, text.clone()),
            Self::LogEnd(next) => (11, next.to_le_bytes().to_vec()),
        }
    }

    fn decode(kind: u8, payload: Vec<u8>) -> io::Result<Self> {
        let mut fields = Fields(&payload);
        Ok(match kind {
            1 => Self::Ready,
            2 => Self::Awake,
            3 => Self::Done(fields.text()),
            4 => Self::Taken(fields.u32()?),
            5 => Self::Stdout(payload),
            6 => Self::Stderr(payload),
            7 => Self::Exit(Outcome::Code(fields.i32()?)),
            8 => Self::Exit(Outcome::Signal(fields.i32()?)),
            9 => {
                let errno = fields.i32()?;
                Self::Exit(Outcome::NotStarted(errno, fields.text()))
            }
            10 => Self::Log(payload),
            11 => Self::LogEnd(fields.u64()?),
            _ => return Err(nonsense()),
        })
    }
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the stream between host and guest is out of step")
}

// A field that does not fit its count would make a frame that `send` refuses as too long, so
// saturating here loses nothing.
fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// What is left of a payload.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or_else(nonsense)?;
        self.0 = tail;
        Ok(*head)
    }

    fn u8(&mut self) -> io::Result<u8> {
        self.array::<1>().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn i32(&mut self) -> io::Result<i32> {
        self.array().map(i32::from_le_bytes)
    }

    fn u64(&mut self) -> io::Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.u32()?).map_err(|_| nonsense())?;
        let (head, tail) = self.0.split_at_checked(length).ok_or_else(nonsense)?;
        self.0 = tail;
        Ok(head.to_vec())
    }

    fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0).to_vec()
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.rest()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back<M: Message + PartialEq + std::fmt::Debug>(messages: &[M]) {
        let mut stream = Vec::new();
        for (id, message) in (7..).zip(messages) {
            send(&mut stream, id, message).unwrap();
        }
        let mut stream = stream.as_slice();
        for (id, message) in (7..).zip(messages) {
            let (got_id, got): (u32, M) = receive(&mut stream).unwrap();
            assert_eq!((got_id, &got), (id, message));
        }
        assert!(stream.is_empty());
    }

    #[test]
    fn every_message_survives_the_trip() {
        there_and_back(&[
            Request::Wake { unix_nanos: 1 << 60, entropy: vec![1, 2, 3] },
            Request::Entry(Entry::Folder { path: b"/a".to_vec(), mode: 0o755 }),
            Request::Entry(Entry::File { path: b"/a/b".to_vec(), mode: 0o4711 }),
            Request::Entry(Entry::Link { path: b"/l".to_vec(), target: b"../x".to_vec() }),
            Request::Data(vec![0; CHUNK]),
            Request::Finish,
            Request::Run(Spawn {
                argv: vec![b"sh".to_vec(), b"".to_vec(), b"\xff".to_vec()],
                env: vec![(b"A".to_vec(), b"=".to_vec())],
                cwd: b"/".to_vec(),
                fed: true,
            }),
            Request::Stdin(b"x".to_vec()),
            Request::StdinEnd,
            Request::Signal(9),
            Request::Log { since: 5, blocked: true },
            Request::PowerOff,
        ]);
        there_and_back(&[
            Reply::Ready,
            Reply::Awake,
            Reply::Done("no space".into()),
            Reply::Taken(70_000),
            Reply::Stdout(b"out".to_vec()),
            Reply::Stderr(Vec::new()),
            Reply::Exit(Outcome::Code(255)),
            Reply::Exit(Outcome::Signal(11)),
            Reply::Exit(Outcome::NotStarted(2, "no such file".into())),
            Reply::Log(b"line\n".to_vec()),
            Reply::LogEnd(u64::MAX),
        ]);
    }

    #[test]
    fn a_stream_out_of_step_is_refused() {
        let mut huge: &[u8] = &[0xff; 64];
        assert_eq!(receive::<Reply>(&mut huge).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let mut unknown: &[u8] = &[0, 0, 0, 0, 1, 0, 0, 0, 200];
        assert_eq!(receive::<Reply>(&mut unknown).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let mut short: &[u8] = &[2, 0, 0, 0, 1, 0, 0, 0, 4, 1, 2];
        assert_eq!(receive::<Reply>(&mut short).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let mut cut: &[u8] = &[9, 0, 0, 0, 1];
        assert_eq!(receive::<Reply>(&mut cut).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_message_too_long_for_a_frame_is_not_sent() {
        let mut stream = Vec::new();
        let error = send(&mut stream, 1, &Request::Data(vec![0; LONGEST + 1])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(stream.is_empty());
    }
}
