//! Picks kernel modules and the order to load them in.

use crate::vm::bzimage::unpack;
use anyhow::{Context, Result, bail};
use goblin::elf::Elf;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module ready to be loaded.
#[derive(Debug)]
pub struct Module {
    /// Name with underscores, as the kernel shows it.
    pub name: String,
    /// The unpacked module.
    pub content: Vec<u8>,
}

/// The wanted modules and all that they depend on, dependencies first. What is built into the
/// kernel is left out.
///
/// The dependencies are read from the modules themselves: packages bring no `modules.dep`.
///
/// # Errors
///
/// When a module does not exist or cannot be read.
pub fn resolve(folder: &Path, wanted: &[&str]) -> Result<Vec<Module>> {
    let mut files = HashMap::new();
    index(folder, &mut files)?;
    // Some packages lack the list; then a wanted module that is built in is reported as missing.
    let builtin = fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
    let builtin: HashSet<String> =
        builtin.lines().filter_map(|line| module_name(Path::new(line))).collect();
    let mut contents = HashMap::new();
    let order = in_order(wanted, &mut |name| {
        if builtin.contains(name) && !files.contains_key(name) {
            return Ok(None);
        }
        let file = files.get(name).with_context(|| format!("the kernel has no module {name}"))?;
        let content = unpack(&fs::read(file)?)?;
        let depends = depends(&content).with_context(|| format!("{}", file.display()))?;
        contents.insert(name.to_owned(), content);
        Ok(Some(depends))
    })?;
    let load = order.into_iter().filter_map(|name| {
        let content = contents.remove(&name)?;
        Some(Module { name, content })
    });
    Ok(load.collect())
}

fn index(folder: &Path, files: &mut HashMap<String, PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        // Not through links: `build` and `source` lead out of the tree.
        if entry.file_type()?.is_dir() {
            index(&path, files)?;
        } else if let Some(name) = module_name(&path) {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// `kernel/fs/dlm/dlm.ko.xz` is `dlm`; dashes and underscores mean the same.
fn module_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(".xz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    Some(stem.strip_suffix(".ko")?.replace('-', "_"))
}

/// What the `depends=` entry of the module's information section lists.
fn depends(module: &[u8]) -> Result<Vec<String>> {
    let elf = Elf::parse(module).context("not a kernel module")?;
    let section = elf
        .section_headers
        .iter()
        .find(|s| elf.shdr_strtab.get_at(s.sh_name) == Some(".modinfo"))
        .and_then(|s| module.get(s.file_range()?))
        .context("a kernel module without .modinfo")?;
    let list = section.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(b"depends="));
    let list = String::from_utf8_lossy(list.unwrap_or_default()).replace('-', "_");
    Ok(list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// Depth first; a module whose dependencies are not known (`None`) is left out.
fn in_order(
    wanted: &[&str],
    depends: &mut dyn FnMut(&str) -> Result<Option<Vec<String>>>,
) -> Result<Vec<String>> {
    enum Step {
        Enter(String),
        Leave(String),
    }
    let mut order = Vec::new();
    let mut entered = HashSet::new();
    let mut left = HashSet::new();
    let mut steps: Vec<Step> =
        wanted.iter().rev().map(|name| Step::Enter(name.replace('-', "_"))).collect();
    while let Some(step) = steps.pop() {
        match step {
            Step::Leave(name) => {
                left.insert(name.clone());
                order.push(name);
            }
            Step::Enter(name) if left.contains(&name) => {}
            Step::Enter(name) => {
                let Some(needs) = depends(&name)? else { continue };
                if !entered.insert(name.clone()) {
                    bail!("module {name} depends on itself");
                }
                steps.push(Step::Leave(name));
                steps.extend(needs.into_iter().rev().map(Step::Enter));
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(wanted: &[&str], table: &[(&str, &[&str])]) -> Result<Vec<String>> {
        in_order(wanted, &mut |name| {
            let needs = table.iter().find(|(n, _)| *n == name).map(|(_, needs)| *needs);
            Ok(needs.map(|needs| needs.iter().map(|n| (*n).to_owned()).collect()))
        })
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let table: &[(&str, &[&str])] = &[
            ("virtio_pci", &["virtio_ring", "virtio", "modern"]),
            ("modern", &["virtio"]),
            ("virtio_ring", &["virtio"]),
            ("virtio", &[]),
            ("virtio_console", &["virtio_ring", "builtin", "virtio"]),
        ];
        assert_eq!(
            order(&["virtio-pci", "virtio_console"], table).unwrap(),
            ["virtio", "virtio_ring", "modern", "virtio_pci", "virtio_console"]
        );
    }

    #[test]
    fn a_circle_is_an_error() {
        let table: &[(&str, &[&str])] = &[("a", &["b"]), ("b", &["a"])];
        assert!(order(&["a"], table).is_err());
    }

    #[test]
    fn names_are_recognised() {
        let name = |path: &str| module_name(Path::new(path));
        assert_eq!(name("kernel/net/9p/9pnet-virtio.ko.zst").as_deref(), Some("9pnet_virtio"));
        assert_eq!(name("x/dlm.ko").as_deref(), Some("dlm"));
        assert_eq!(name("x/modules.order"), None);
        assert_eq!(name("x/vmlinuz.xz"), None);
    }
}
