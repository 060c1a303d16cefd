//! The generation of the running kernel.

/// The generations of the kernel's DLM whose answers are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Up to 6.1: at most six unread results per lock, grouped by lock, words taken when read.
    V6_1,
    /// From 6.10 on: results one after the other, with the words as they were when queued.
    V6_12,
}

impl Kernel {
    /// The running kernel's generation.
    ///
    /// # Panics
    ///
    /// On a kernel between the two, whose answers nobody has written down.
    #[must_use]
    pub fn running() -> Self {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut parts = release.split(['.', '-']).map_while(|part| part.trim().parse::<u32>().ok());
        let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        match version {
            (5, _) | (6, 0..=1) => Self::V6_1,
            (6, 10..) | (7.., _) => Self::V6_12,
            _ => panic!("the answers of kernel {release} are not known to these tests"),
        }
    }

    /// The value that belongs to the running kernel.
    #[must_use]
    pub fn pick<T>(v6_1: T, v6_12: T) -> T {
        match Self::running() {
            Self::V6_1 => v6_1,
            Self::V6_12 => v6_12,
        }
    }
}
