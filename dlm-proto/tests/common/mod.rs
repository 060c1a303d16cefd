//! The golden vectors.

use dlm_proto::Abi;

/// A record of a conversation with the kernel.
#[derive(Debug)]
pub(crate) struct Record {
    /// `c` for the control device, `1` and `2` for two open devices of a lockspace.
    #[allow(dead_code, reason = "not every test program shows it")]
    pub(crate) device: char,
    /// Written, or else read.
    pub(crate) is_request: bool,
    /// What it is.
    pub(crate) name: &'static str,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
}

/// The records of one layout, in the order of the conversation.
pub(crate) fn records(abi: Abi) -> Vec<Record> {
    let file = match abi {
        Abi::V6_64 => include_str!("../golden/v6-64.txt"),
        Abi::V6_32 => include_str!("../golden/v6-32.txt"),
        other => panic!("no kernel speaks {other} any more"),
    };
    file.lines().filter(|line| !line.starts_with('#')).map(record).collect()
}

fn record(line: &'static str) -> Record {
    let [who, name, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    Record {
        device: who.chars().next().unwrap(),
        is_request: who.ends_with('>'),
        name,
        bytes: (0..hex.len()).step_by(2).map(byte).collect(),
    }
}
