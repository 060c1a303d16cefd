//! The table of machines.

use anyhow::{Context, Result};

/// One kind of machine.
#[derive(Debug, PartialEq, Eq)]
pub struct Machine {
    /// What the user calls it.
    pub name: &'static str,
    /// What rustc calls it.
    pub target: &'static str,
    /// Debian's name for it.
    pub architecture: &'static str,
    /// What GCC and the C library for it call it: `PREFIX-gcc`, `/usr/PREFIX`.
    pub prefix: &'static str,
    /// What emulates it.
    pub emulator: &'static str,
}

/// All of them. Between them they have both byte orders and both sizes of pointers.
pub const MACHINES: &[Machine] = &[
    Machine {
        name: "s390x",
        target: "s390x-unknown-linux-gnu",
        architecture: "s390x",
        prefix: "s390x-linux-gnu",
        emulator: "qemu-s390x-static",
    },
    Machine {
        name: "aarch64",
        target: "aarch64-unknown-linux-gnu",
        architecture: "arm64",
        prefix: "aarch64-linux-gnu",
        emulator: "qemu-aarch64-static",
    },
    Machine {
        name: "powerpc64le",
        target: "powerpc64le-unknown-linux-gnu",
        architecture: "ppc64el",
        prefix: "powerpc64le-linux-gnu",
        emulator: "qemu-ppc64le-static",
    },
    Machine {
        name: "i686",
        target: "i686-unknown-linux-gnu",
        architecture: "i386",
        prefix: "i686-linux-gnu",
        emulator: "qemu-i386-static",
    },
];

/// The machine of a name.
///
/// # Errors
///
/// With the names there are, when there is none.
pub fn named(name: &str) -> Result<&'static Machine> {
    MACHINES.iter().find(|machine| machine.name == name).with_context(|| {
        let names: Vec<_> = MACHINES.iter().map(|machine| machine.name).collect();
        format!("no machine {name}; there are {}", names.join(", "))
    })
}

impl Machine {
    /// The packages that link programs for it and run them.
    #[must_use]
    pub fn packages(&self) -> Vec<String> {
        vec![
            format!("gcc-{}", self.prefix),
            format!("libc6-dev-{}-cross", self.architecture),
            "qemu-user-static".to_owned(),
        ]
    }

    /// The linker.
    #[must_use]
    pub fn linker(&self) -> String {
        format!("{}-gcc", self.prefix)
    }

    /// The command that runs a program for it.
    #[must_use]
    pub fn runner(&self) -> String {
        format!("{} -L /usr/{}", self.emulator, self.prefix)
    }

    /// The variable of cargo for it with this ending.
    #[must_use]
    pub fn variable(&self, ending: &str) -> String {
        let target = self.target.replace('-', "_").to_uppercase();
        format!("CARGO_TARGET_{target}_{ending}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_found_by_name_only() {
        assert_eq!(named("i686").unwrap().packages()[1], "libc6-dev-i386-cross");
        let s390x = named("s390x").unwrap();
        assert_eq!(s390x.variable("LINKER"), "CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER");
        assert_eq!(s390x.runner(), "qemu-s390x-static -L /usr/s390x-linux-gnu");
        assert!(named("s390").unwrap_err().to_string().contains("s390x, aarch64"));
    }
}
