//! The conditions that a lockspace waits for before it may recover.

use std::fmt;

use dlm_proto::NodeId;

/// A condition that a lockspace waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Condition {
    /// These nodes are to be fenced: they may still hold their locks.
    Fencing(Vec<NodeId>),
    /// The cluster has lost its quorum.
    Quorum,
    /// Another one, in dlm_controld's words.
    Other(String),
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fencing(nodes) => {
                f.write_str("fencing")?;
                for (at, node) in nodes.iter().enumerate() {
                    write!(f, "{}{node}", if at == 0 { " of node " } else { ", " })?;
                }
                Ok(())
            }
            Self::Quorum => f.write_str("quorum"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl Condition {
    /// The condition that was shown as this text.
    pub(super) fn parse(text: &str) -> Self {
        let nodes = text.strip_prefix("fencing of node ").map(|list| {
            list.split(", ").map(|node| node.parse().map(NodeId)).collect::<Result<Vec<_>, _>>()
        });
        match (text, nodes) {
            (_, Some(Ok(nodes))) => Self::Fencing(nodes),
            ("fencing", _) => Self::Fencing(Vec::new()),
            ("quorum", _) => Self::Quorum,
            _ => Self::Other(text.to_owned()),
        }
    }
}
