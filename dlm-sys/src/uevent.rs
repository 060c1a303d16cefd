//! Messages about devices that come and go, from the kernel and from udev.
//!
//! The kernel's is `ACTION@PATH` and then `KEY=VALUE`, each ended by a zero byte. udev's has the
//! same keys behind a header of its own.

use dlm_proto::Minor;

use crate::lockspace::MISC_MAJOR;

/// Bytes of a message that are read: more than the kernel puts into one, and than udev does for a
/// device without a driver.
pub(crate) const LONGEST: usize = 8192;

/// The beginning of a message of udev.
pub(crate) const UDEV_PREFIX: &[u8; 8] = b"libudev\0";

/// The place where its header says where the keys begin.
const PROPERTIES_AT: usize = 16;

/// The value of a key such as `MINOR=`.
pub(crate) fn value<'m>(message: &'m [u8], key: &[u8]) -> Option<&'m [u8]> {
    let mut parts = message.split_inclusive(|&byte| byte == 0);
    parts.find_map(|part| part.strip_prefix(key)?.strip_suffix(&[0]))
}

/// The value of a key, if it is a number.
pub(crate) fn number(message: &[u8], key: &[u8]) -> Option<u64> {
    str::from_utf8(value(message, key)?).ok()?.parse().ok()
}

/// Whether a message is about the misc device with this minor number, and not sent because somebody
/// wrote to the device's file `uevent`, which `SYNTH_UUID` before these keys would tell.
pub(crate) fn is_about(message: &[u8], minor: Minor) -> bool {
    value(message, b"SYNTH_UUID=").is_none()
        && number(message, b"MAJOR=") == Some(MISC_MAJOR.into())
        && number(message, b"MINOR=") == Some(minor.0.into())
}

/// The keys in a message of udev.
pub(crate) fn of_udev(message: &[u8]) -> Option<&[u8]> {
    message.strip_prefix(UDEV_PREFIX)?;
    let at = message.get(PROPERTIES_AT..)?.first_chunk()?;
    message.get(usize::try_from(u32::from_ne_bytes(*at)).ok()?..)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[u8] = b"ACTION=add\0MAJOR=10\0MINOR=122\0SEQNUM=4711\0";

    /// As udev puts a message together.
    fn of(keys: &[u8]) -> Vec<u8> {
        let mut message = UDEV_PREFIX.to_vec();
        message.extend(0xfeed_cafe_u32.to_be_bytes());
        for number in [40, 40, u32::try_from(keys.len()).unwrap()] {
            message.extend(number.to_ne_bytes());
        }
        message.extend([0; 16]);
        message.extend(keys);
        message
    }

    #[test]
    fn the_keys_of_udevs_messages_are_found() {
        let message = of(KEYS);
        let keys = of_udev(&message).unwrap();
        assert_eq!(keys, KEYS);
        assert!(is_about(keys, Minor(122)));
        assert!(!is_about(keys, Minor(12)));
        assert_eq!(number(keys, b"SEQNUM="), Some(4711));
        assert_eq!(number(keys, b"ACTION="), None);
    }

    #[test]
    fn what_is_no_message_of_udev_has_no_keys() {
        let message = of(KEYS);
        for len in 0..20 {
            assert_eq!(of_udev(&message[..len]), None);
        }
        assert_eq!(of_udev(KEYS), None);
        let mut far = message;
        far[PROPERTIES_AT..PROPERTIES_AT + 4].copy_from_slice(&[0xff; 4]);
        assert_eq!(of_udev(&far), None);
    }
}
