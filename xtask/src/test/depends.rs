//! The dependencies that crates embedded elsewhere may have.

use anyhow::{Result, bail};
use std::collections::BTreeSet;

use dlm_lab::cargo::cargo;

/// A crate, and those whose dependencies it may have beside these themselves.
const ALLOWED: [(&str, &[&str]); 2] = [
    ("dlm-proto", &["bitflags", "heapless", "zerocopy"]),
    // The rules of locks: no thread, descriptor, clock or callback.
    ("dlm-core", &["dlm-proto"]),
];

/// The dependencies that are not allowed, each as a line that says whose it is.
///
/// # Errors
///
/// When cargo does not tell.
pub(super) fn stray() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (name, allowed) in ALLOWED {
        let mut known = BTreeSet::from([name.to_owned()]);
        for package in allowed {
            known.extend(tree(package)?);
        }
        let others = tree(name)?.into_iter().filter(|other| !known.contains(other));
        found.extend(others.map(|other| format!("{name} depends on {other}")));
    }
    Ok(found)
}

/// The names in a package's tree of dependencies, its own among them; what only its tests need is
/// not.
fn tree(package: &str) -> Result<BTreeSet<String>> {
    let arguments = ["tree", "--edges", "normal,build", "--prefix", "none", "--package", package];
    let output = cargo(&arguments).output()?;
    if !output.status.success() {
        bail!("cargo tree of {package}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| line.split(' ').next()).map(ToOwned::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_embedded_depends_on_little() {
        assert_eq!(stray().unwrap(), [""; 0]);
        // The check sees what it is for.
        assert!(tree("dlm-core").unwrap().contains("dlm-proto"));
        assert!(!tree("dlm-core").unwrap().contains("dlm-sys"));
        assert!(tree("dlm-engine").unwrap().contains("bitflags"));
    }
}
