//! The queues of a lockspace, out of the text that debugfs has.

use dlm_proto::debugfs::{BlockRecord, LockRecord, Record, ResourceRecord};

use super::error::InspectError;

/// A resource of a lockspace, as one node knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalResource {
    /// The resource itself.
    pub record: ResourceRecord,
    /// Its value block.
    pub block: Option<BlockRecord>,
    /// Its locks: those granted, those converting, those waiting, each in their order.
    pub locks: Vec<LockRecord>,
}

impl LocalResource {
    /// Whether this node grants its locks, and knows all of them.
    #[must_use]
    pub const fn is_master(&self) -> bool {
        self.record.master == 0
    }
}

/// Puts lines together to resources.
#[derive(Debug, Default)]
pub(super) struct QueueReader {
    pub(super) resources: Vec<LocalResource>,
}

/// What is wrong with a line where it stands.
const ORPHANED: dlm_proto::debugfs::LineError = dlm_proto::debugfs::LineError::Field("rsb");

impl QueueReader {
    pub(super) fn add(&mut self, line: &[u8]) -> Result<(), dlm_proto::debugfs::LineError> {
        match Record::parse(line)? {
            Record::Header => {}
            Record::Resource(record) => {
                self.resources.push(LocalResource { record, block: None, locks: Vec::new() });
            }
            Record::Block(block) => self.last()?.block = Some(block),
            Record::Lock(lock) => self.last()?.locks.push(lock),
        }
        Ok(())
    }

    fn last(&mut self) -> Result<&mut LocalResource, dlm_proto::debugfs::LineError> {
        self.resources.last_mut().ok_or(ORPHANED)
    }
}

/// The resources in the text of a file `NAME_all` in debugfs, or of dlm-engine's dump.
///
/// # Errors
///
/// [`InspectError::Queues`]: a line is not as the kernel writes them.
pub fn parse_queues(lockspace: &str, text: &[u8]) -> Result<Vec<LocalResource>, InspectError> {
    let mut reader = QueueReader::default();
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    // Without resources the kernel writes nothing, or the header alone.
    let lines = text.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    for (at, line) in lines {
        reader.add(line).map_err(|error| InspectError::Queues {
            lockspace: lockspace.to_owned(),
            line: at + 1,
            error,
        })?;
    }
    Ok(reader.resources)
}
