//! Modes, flags, names, numbers and value blocks for serde: the modules to name in
//! `#[serde(with = "...")]`.
//!
//! The types are those of dlm-proto, which knows no serde. [`State`](crate::State),
//! [`Counters`](crate::Counters), [`LockInfo`](crate::LockInfo) and [`Status`](crate::Status), which a
//! program reports, can be serialised as they are.
//!
//! ```
//! use dlm_runtime::{LockspaceName, Mode, ResourceName};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Config {
//!     #[serde(with = "dlm_runtime::serde::name")]
//!     lockspace: LockspaceName,
//!     #[serde(with = "dlm_runtime::serde::name")]
//!     resource: ResourceName,
//!     #[serde(with = "dlm_runtime::serde::text")]
//!     mode: Mode,
//! }
//!
//! let json = r#"{"lockspace":"example","resource":"disk0","mode":"EX"}"#;
//! let config: Config = serde_json::from_str(json)?;
//! assert_eq!(config.mode, Mode::Ex);
//! assert_eq!(serde_json::to_string(&config)?, json);
//! # Ok::<(), serde_json::Error>(())
//! ```

/// What is printed and read as text: modes, flags, and the ids of locks and nodes.
pub mod text {
    use std::borrow::Cow;
    use std::fmt::Display;
    use std::str::FromStr;

    use ::serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes the text.
    ///
    /// # Errors
    ///
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(
        value: &impl Display,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    /// Reads the text.
    ///
    /// # Errors
    ///
    /// Those of the deserializer; text that is none of these.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Names of resources and lockspaces: as text where they are such, which most are, and as a sequence
/// of bytes elsewhere.
pub mod name {
    use std::fmt;
    use std::marker::PhantomData;

    use ::serde::de::{Deserializer, Error, SeqAccess, Visitor};
    use ::serde::{Serialize, Serializer};
    use dlm_proto::NameError;

    /// Writes the name. Formats that are not for people always get bytes.
    ///
    /// # Errors
    ///
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(
        name: &impl AsRef<[u8]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let bytes = name.as_ref();
        match std::str::from_utf8(bytes) {
            _ if !serializer.is_human_readable() => serializer.serialize_bytes(bytes),
            Ok(text) => serializer.serialize_str(text),
            Err(_) => bytes.serialize(serializer),
        }
    }

    /// Reads a name.
    ///
    /// # Errors
    ///
    /// Those of the deserializer, and the rules of names.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: for<'a> TryFrom<&'a [u8], Error = NameError>,
        D: Deserializer<'de>,
    {
        let name = Name(PhantomData);
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(name)
        } else {
            deserializer.deserialize_bytes(name)
        }
    }

    struct Name<T>(PhantomData<T>);

    impl<'de, T: for<'a> TryFrom<&'a [u8], Error = NameError>> Visitor<'de> for Name<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a name of at most 64 bytes")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            self.visit_bytes(text.as_bytes())
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<T, E> {
            T::try_from(bytes).map_err(E::custom)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<T, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = sequence.next_element()? {
                // What is too long is not read to its end.
                if bytes.len() > dlm_proto::MAX_NAME_LEN {
                    break;
                }
                bytes.push(byte);
            }
            self.visit_bytes(&bytes)
        }
    }
}

/// Lock value blocks, as 32 numbers.
pub mod block {
    use ::serde::{Deserialize, Deserializer, Serialize, Serializer};
    use dlm_proto::{LVB_LEN, ValueBlock};

    /// Writes the block.
    ///
    /// # Errors
    ///
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(block: &ValueBlock, serializer: S) -> Result<S::Ok, S::Error> {
        block.0.serialize(serializer)
    }

    /// Reads a block.
    ///
    /// # Errors
    ///
    /// Those of the deserializer; another length.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ValueBlock, D::Error> {
        <[u8; LVB_LEN]>::deserialize(deserializer).map(ValueBlock)
    }
}

/// Fields of what is only reported.
pub(crate) mod report {
    use ::serde::Serializer;
    use dlm_proto::{Mode, NodeId};

    pub(crate) fn mode<S: Serializer>(mode: &Option<Mode>, to: S) -> Result<S::Ok, S::Error> {
        match mode {
            Some(mode) => to.serialize_some(mode.name()),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn node<S: Serializer>(node: &Option<NodeId>, to: S) -> Result<S::Ok, S::Error> {
        match node {
            Some(NodeId(number)) => to.serialize_some(number),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn nodes<S: Serializer>(nodes: &[NodeId], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(nodes.iter().map(|node| node.0))
    }
}

#[cfg(test)]
mod tests {
    use ::serde::{Deserialize, Serialize};
    use dlm_proto::{LockFlags, LockspaceName, Mode, ResourceName, ValueBlock};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct All {
        #[serde(with = "super::text")]
        mode: Mode,
        #[serde(with = "super::text")]
        flags: LockFlags,
        #[serde(with = "super::name")]
        resource: ResourceName,
        #[serde(with = "super::name")]
        lockspace: LockspaceName,
        #[serde(with = "super::block")]
        block: ValueBlock,
    }

    fn all(resource: &[u8]) -> All {
        All {
            mode: Mode::Pw,
            flags: LockFlags::NOQUEUE | LockFlags::HEADQUE,
            resource: ResourceName::new(resource).unwrap(),
            lockspace: LockspaceName::new("größe".as_bytes()).unwrap(),
            block: ValueBlock([9; 32]),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for resource in [&b"disk0"[..], b"\0\x01", b"\xff\xfe", &[b'x'; 64], b"a\\x00b"] {
            let json = serde_json::to_string(&all(resource)).unwrap();
            assert_eq!(serde_json::from_str::<All>(&json).unwrap(), all(resource), "{json}");
        }
        let json = serde_json::to_value(all(b"disk0")).unwrap();
        assert_eq!(json["mode"], "PW");
        assert_eq!(json["flags"], "NOQUEUE | HEADQUE");
        assert_eq!((&json["resource"], &json["lockspace"]), (&"disk0".into(), &"größe".into()));
    }

    #[test]
    fn what_breaks_a_rule_is_refused_with_the_reason() {
        let good = serde_json::to_value(all(b"r")).unwrap();
        for (field, bad, reason) in [
            ("mode", serde_json::json!("XX"), "NL, CR, CW, PR, PW or EX"),
            ("flags", serde_json::json!("NOTHING"), "no list of flags"),
            ("resource", serde_json::json!("x".repeat(65)), "65 bytes"),
            ("resource", serde_json::json!(vec![1; 1000]), "bytes"),
            ("resource", serde_json::json!(7), "a name"),
            ("lockspace", serde_json::json!("a/b"), "'/'"),
            ("block", serde_json::json!([1, 2]), "length"),
        ] {
            let mut value = good.clone();
            value[field] = bad;
            let error = serde_json::from_value::<All>(value).unwrap_err().to_string();
            assert!(error.contains(reason), "{field}: {error}");
        }
    }

    #[test]
    fn reports_can_be_written() {
        let counters = serde_json::to_value(crate::Counters::default()).unwrap();
        assert_eq!(counters["grants"], 0);
        let mut status = crate::Status::new(crate::State::Stopped);
        status.members = vec![dlm_proto::NodeId(2)];
        let json = serde_json::to_value(status).unwrap();
        assert_eq!((&json["state"], &json["members"][0]), (&"Stopped".into(), &2.into()));
    }
}
