//! Device versions and the four layouts that follow from them.

use core::fmt;

use zerocopy::native_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::DecodeError;

/// Bytes of a version record: a `read` of exactly this length on any DLM device returns the
/// kernel's version and leaves queued results alone (kernel 6.x; `struct dlm_device_version`).
pub const VERSION_LEN: usize = 12;

/// A version of the device protocol, as the kernel states it and as each request carries it.
///
/// Kernels 6.1 and 6.12 state 6.0.2.
///
/// ```
/// use dlm_proto::Version;
///
/// let kernel = Version::decode(&Version::new(6, 0, 2).encode())?;
/// assert!(kernel.accepts(Version::V6) && !kernel.accepts(Version::V5));
/// # Ok::<(), dlm_proto::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Changes when records are laid out anew. The kernel refuses another major version.
    pub major: u32,
    /// Changes when something is added. The kernel refuses a request with a higher one than its
    /// own.
    pub minor: u32,
    /// The kernel never compares it.
    pub patch: u32,
}

impl Version {
    /// The version that requests of the version 6 layouts carry. Its minor version is 0, which any
    /// kernel of major version 6 takes.
    pub const V6: Self = Self::new(6, 0, 0);

    /// The version that requests of the version 5 layouts carry.
    pub const V5: Self = Self::new(5, 0, 0);

    /// A version from its three parts.
    #[inline]
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Whether a kernel that states version `self` takes a request that carries `request`:
    /// major equal, minor not above the kernel's, patch ignored (kernel 6.1 and 6.12 answer EBADE
    /// otherwise).
    #[inline]
    #[must_use]
    pub const fn accepts(self, request: Self) -> bool {
        self.major == request.major && request.minor <= self.minor
    }

    /// Reads the version record that a 12-byte `read` returned.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Length`] unless `bytes` is exactly [`VERSION_LEN`] long.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let raw = RawVersion::ref_from_bytes(bytes)
            .map_err(|_| DecodeError::Length { wanted: VERSION_LEN, got: bytes.len() })?;
        Ok(raw.get())
    }

    /// The version record that a kernel of this version would return.
    #[must_use]
    pub fn encode(self) -> [u8; VERSION_LEN] {
        zerocopy::transmute!(RawVersion::new(self))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A version as it stands in a record: `__u32 version[3]`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct RawVersion([U32; 3]);

impl RawVersion {
    /// The record of `version`.
    #[inline]
    #[must_use]
    pub fn new(version: Version) -> Self {
        Self([version.major.into(), version.minor.into(), version.patch.into()])
    }

    /// The version that the record states.
    #[inline]
    #[must_use]
    pub fn get(self) -> Version {
        let [major, minor, patch] = self.0;
        Version::new(major.get(), minor.get(), patch.get())
    }
}

/// The generation of record layouts. Documented with what each one added.
///
/// ```
/// use dlm_proto::{AbiVersion, Version};
///
/// assert_eq!(AbiVersion::V6.request_version(), Version::V6);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AbiVersion {
    /// Device version 5 (kernels before 2.6.2x): 16 flag bits, no version record to read, no
    /// transaction id, timeout, purge or deadlock cancel, and no version in results.
    V5,
    /// Device version 6: 32 flag bits, version record, transaction id, timeout, purge, deadlock
    /// cancel. All kernels of today.
    V6,
}

impl AbiVersion {
    /// The version that requests of this generation carry.
    #[inline]
    #[must_use]
    pub const fn request_version(self) -> Version {
        match self {
            Self::V5 => Version::V5,
            Self::V6 => Version::V6,
        }
    }
}

/// The width of the five opaque words that a request carries through the kernel.
///
/// ```
/// use dlm_proto::PointerWidth;
///
/// assert!(!PointerWidth::W32.fits(1 << 32));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PointerWidth {
    /// A 32-bit program, on a 32-bit or a 64-bit kernel.
    W32,
    /// A 64-bit program.
    W64,
}

impl PointerWidth {
    /// The width of this program's pointers.
    pub const NATIVE: Self = if size_of::<usize>() == 8 { Self::W64 } else { Self::W32 };

    /// Whether `word` survives the way through a record of this width.
    #[inline]
    #[must_use]
    pub const fn fits(self, word: u64) -> bool {
        match self {
            Self::W32 => word <= 0xffff_ffff,
            Self::W64 => true,
        }
    }
}

/// One of the four record layouts: a generation and a pointer width.
///
/// ```
/// use dlm_proto::{Abi, PointerWidth, Version};
///
/// let abi = Abi::negotiate(Version::new(6, 0, 2), PointerWidth::W64)?;
/// assert_eq!(abi, Abi::V6_64);
/// assert_eq!((abi.request_len(5), abi.result_len()), (125, 72));
/// # Ok::<(), dlm_proto::UnsupportedVersion>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Abi {
    /// The generation of the layout.
    pub version: AbiVersion,
    /// The width of its pointer words.
    pub width: PointerWidth,
}

impl Abi {
    /// Device version 6, 64-bit program.
    pub const V6_64: Self = Self { version: AbiVersion::V6, width: PointerWidth::W64 };
    /// Device version 6, 32-bit program.
    pub const V6_32: Self = Self { version: AbiVersion::V6, width: PointerWidth::W32 };
    /// Device version 5, 64-bit program.
    pub const V5_64: Self = Self { version: AbiVersion::V5, width: PointerWidth::W64 };
    /// Device version 5, 32-bit program.
    pub const V5_32: Self = Self { version: AbiVersion::V5, width: PointerWidth::W32 };
    /// Every layout that this crate speaks.
    pub const ALL: [Self; 4] = [Self::V6_64, Self::V6_32, Self::V5_64, Self::V5_32];

    /// The version and layout to speak with a kernel, from its answer to a `read` of
    /// [`VERSION_LEN`] bytes: the bytes, or the error number.
    ///
    /// Kernels of device version 5 have no version to read. Their devices answer such a `read`
    /// with EINVAL, and only that is taken for version 5.
    ///
    /// # Errors
    ///
    /// [`NegotiateError`]: an unsupported version, a record of another length, any other error.
    pub fn negotiate_answer(
        answer: Result<&[u8], i32>,
        width: PointerWidth,
    ) -> Result<(Version, Self), NegotiateError> {
        const EINVAL: i32 = 22;
        match answer {
            Ok(bytes) => {
                let kernel = Version::decode(bytes).map_err(NegotiateError::Record)?;
                let abi = Self::negotiate(kernel, width).map_err(NegotiateError::Unsupported)?;
                Ok((kernel, abi))
            }
            Err(EINVAL) => Ok((Version::V5, Self { version: AbiVersion::V5, width })),
            Err(errno) => Err(NegotiateError::Failed(errno)),
        }
    }

    /// The layout to speak with a kernel that states `kernel` in its version record.
    ///
    /// # Errors
    ///
    /// [`UnsupportedVersion`] when the kernel would refuse the newest request version that this
    /// crate writes.
    pub const fn negotiate(
        kernel: Version,
        width: PointerWidth,
    ) -> Result<Self, UnsupportedVersion> {
        if kernel.accepts(Version::V6) {
            Ok(Self { version: AbiVersion::V6, width })
        } else {
            Err(UnsupportedVersion { kernel, ours: Version::V6 })
        }
    }

    /// Bytes in a request before the resource name: where the name of a lock request starts.
    #[inline]
    #[must_use]
    pub const fn lock_name_offset(self) -> usize {
        match (self.version, self.width) {
            (AbiVersion::V6, PointerWidth::W64) => 120,
            (AbiVersion::V6, PointerWidth::W32) => 100,
            (AbiVersion::V5, PointerWidth::W64) => 104,
            (AbiVersion::V5, PointerWidth::W32) => 80,
        }
    }

    /// Bytes to write for a request that carries a name of `name_len` bytes.
    ///
    /// A 32-bit version 6 request is 4 bytes longer than its fields: a 64-bit kernel reads such a
    /// request as a struct with tail padding and loses the last 4 bytes of the name otherwise
    /// (seen on 6.1 and 6.12).
    #[inline]
    #[must_use]
    pub const fn request_len(self, name_len: usize) -> usize {
        let padding = match (self.version, self.width) {
            (AbiVersion::V6, PointerWidth::W32) => 4,
            _ => 0,
        };
        self.lock_name_offset() + padding + name_len
    }

    /// Bytes of a result without a lock value block.
    #[inline]
    #[must_use]
    pub const fn result_len(self) -> usize {
        match (self.version, self.width) {
            (AbiVersion::V6, PointerWidth::W64) => 72,
            (AbiVersion::V6, PointerWidth::W32) => 52,
            (AbiVersion::V5, PointerWidth::W64) => 64,
            (AbiVersion::V5, PointerWidth::W32) => 40,
        }
    }
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = match self.width {
            PointerWidth::W32 => 32,
            PointerWidth::W64 => 64,
        };
        write!(f, "device version {}, {bits}-bit", self.version.request_version().major)
    }
}

/// The kernel speaks a device version for which this crate has no layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsupportedVersion {
    /// The version that the kernel stated.
    pub kernel: Version,
    /// The version that this crate would have sent.
    pub ours: Version,
}

impl fmt::Display for UnsupportedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the kernel speaks DLM device version {}, this library speaks {}",
            self.kernel, self.ours
        )
    }
}

impl core::error::Error for UnsupportedVersion {}

/// The reason why no layout was agreed upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NegotiateError {
    /// The kernel's version is not supported.
    Unsupported(UnsupportedVersion),
    /// The kernel's answer is no version record.
    Record(DecodeError),
    /// The version could not be read; the error number, positive.
    Failed(i32),
}

impl fmt::Display for NegotiateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(error) => write!(f, "{error}"),
            Self::Record(error) => write!(f, "the kernel's version record: {error}"),
            Self::Failed(errno) => write!(f, "the version could not be read: error {errno}"),
        }
    }
}

impl core::error::Error for NegotiateError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_takes_its_own_major_and_no_higher_minor() {
        let kernel = Version::new(6, 1, 2);
        assert!(kernel.accepts(Version::new(6, 0, 0)));
        assert!(kernel.accepts(Version::new(6, 1, 99)));
        assert!(!kernel.accepts(Version::new(6, 2, 0)));
        assert!(!kernel.accepts(Version::new(5, 0, 0)));
        assert!(!kernel.accepts(Version::new(7, 0, 0)));
    }

    #[test]
    fn negotiation_names_both_versions_when_it_fails() {
        let width = PointerWidth::W64;
        assert_eq!(Abi::negotiate(Version::new(6, 0, 2), width), Ok(Abi::V6_64));
        let kernel = Version::new(7, 0, 0);
        let error = Abi::negotiate(kernel, width).unwrap_err();
        assert_eq!(error, UnsupportedVersion { kernel, ours: Version::V6 });
        let text = std::format!("{error}");
        assert!(text.contains("7.0.0") && text.contains("6.0.0"), "{text}");
    }

    #[test]
    fn only_the_answer_of_old_kernels_means_version_5() {
        fn negotiate(answer: Result<&[u8], i32>) -> Result<(Version, Abi), NegotiateError> {
            Abi::negotiate_answer(answer, PointerWidth::W64)
        }
        let kernel = Version::new(6, 0, 2);
        assert_eq!(negotiate(Ok(&kernel.encode())), Ok((kernel, Abi::V6_64)));
        assert_eq!(negotiate(Err(22)), Ok((Version::V5, Abi::V5_64)));
        for errno in (0..200).filter(|&errno| errno != 22) {
            assert_eq!(negotiate(Err(errno)), Err(NegotiateError::Failed(errno)));
        }
        assert!(matches!(negotiate(Ok(&[0; 11])), Err(NegotiateError::Record(_))));
        let newer = Version::new(7, 0, 0).encode();
        assert!(matches!(negotiate(Ok(&newer)), Err(NegotiateError::Unsupported(_))));
        // A kernel that has a version to read is not of version 5, whatever it says.
        let older = Version::V5.encode();
        assert!(matches!(negotiate(Ok(&older)), Err(NegotiateError::Unsupported(_))));
    }

    #[test]
    fn version_records_round_trip_and_other_lengths_are_refused() {
        let version = Version::new(6, 0, 2);
        assert_eq!(Version::decode(&version.encode()), Ok(version));
        for len in (0..VERSION_LEN).chain([VERSION_LEN + 1, 104]) {
            let bytes = std::vec![0; len];
            assert_eq!(
                Version::decode(&bytes),
                Err(DecodeError::Length { wanted: VERSION_LEN, got: len })
            );
        }
    }

    #[test]
    fn lengths_agree_with_the_structs() {
        use crate::layout::{v5, v6};
        let header = size_of::<crate::layout::Header>();
        assert_eq!(Abi::V6_64.lock_name_offset(), header + size_of::<v6::Lock64>());
        assert_eq!(Abi::V6_32.lock_name_offset(), header + size_of::<v6::Lock32>());
        assert_eq!(Abi::V5_64.lock_name_offset(), header + size_of::<v5::Lock64>());
        assert_eq!(Abi::V5_32.lock_name_offset(), header + size_of::<v5::Lock32>());
        assert_eq!(Abi::V6_64.result_len(), size_of::<v6::Result64>());
        assert_eq!(Abi::V6_32.result_len(), size_of::<v6::Result32>());
        assert_eq!(Abi::V5_64.result_len(), size_of::<v5::Result64>());
        assert_eq!(Abi::V5_32.result_len(), size_of::<v5::Result32>());
    }
}
