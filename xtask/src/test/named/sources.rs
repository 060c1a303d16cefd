//! What a name can be in: the packages, their files, and the functions in these.

use anyhow::{Context, Result};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

use dlm_lab::cargo::cargo;

/// A package of this workspace.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    /// Its programs of tests.
    targets: Vec<Target>,
}

/// What one program of tests is made of.
#[derive(Debug)]
struct Target {
    name: String,
    is_library: bool,
    /// The file that cargo is given, or its folder if that has more of the program.
    sources: PathBuf,
}

impl Package {
    /// The arguments of cargo that build these programs and no others.
    pub(super) fn selection(&self) -> Vec<&str> {
        let mut words = vec!["-p", self.name.as_str()];
        for target in &self.targets {
            if target.is_library {
                words.push("--lib");
            } else {
                words.extend(["--test", target.name.as_str()]);
            }
        }
        words
    }
}

/// The packages, with those programs that may have such a test: its last part is in a source or the
/// path of one, and each part before it is a package, a program, a file, a folder or a module.
pub(super) fn packages_with(text: &str) -> Result<Vec<Package>> {
    let (before, last) = text.rsplit_once("::").unwrap_or(("", text));
    let before: Vec<_> = before.split("::").filter(|part| !part.is_empty()).collect();
    let mut packages = all()?;
    let folders: Vec<_> = packages.iter().map(|it| it.folder.clone()).collect();
    for package in &mut packages {
        let (mut files, mut found, mut modules) = (Vec::new(), Vec::new(), Vec::new());
        let mut is_in_macro = false;
        walk(&package.folder, &folders, &mut |path| {
            let is_source = path.extension().is_some_and(|it| it == "rs");
            let source = if is_source { fs::read_to_string(path).ok() } else { None };
            let source = source.unwrap_or_default();
            let relative = path.strip_prefix(&package.folder).unwrap_or(path).to_owned();
            if relative.to_string_lossy().contains(last) || source.contains(last) {
                found.push(path.to_owned());
            }
            // A macro may make modules and tests in any program of its package.
            is_in_macro |= source.contains("macro_rules!") && source.contains(last);
            let made = before.iter().filter(|part| source.contains(&format!("mod {part} {{")));
            modules.extend(made.copied());
            files.push(path.to_owned());
        });
        let (name, folder) = (package.name.as_str(), package.folder.as_path());
        package.targets.retain(|target| {
            let own = |path: &&PathBuf| path.starts_with(&target.sources);
            let is_place = |part: &&str| {
                let file = |path: &PathBuf| has_component(path, folder, part);
                [name, target.name.as_str()].contains(part)
                    || modules.contains(part)
                    || files.iter().filter(own).any(file)
            };
            // The scenarios are tests of programs that do not have their names.
            let scenario = |path: &PathBuf| path.extension().is_some_and(|it| it == "dlm");
            let has_last = is_in_macro
                || name.contains(last)
                || target.name.contains(last)
                || found.iter().any(|it| own(&it) || scenario(it) && !target.is_library);
            has_last && before.iter().all(is_place)
        });
    }
    packages.retain(|package| !package.targets.is_empty());
    Ok(packages)
}

/// Whether a file of a package, or a folder that it is in, is called so.
fn has_component(path: &Path, package: &Path, name: &str) -> bool {
    let relative = path.strip_prefix(package).unwrap_or(path);
    relative.iter().any(|part| Path::new(part).file_stem().is_some_and(|stem| stem == name))
}

/// The names of all functions and scenarios in the packages.
pub(super) fn functions() -> Result<Vec<String>> {
    let packages = all()?;
    let folders: Vec<_> = packages.iter().map(|it| it.folder.clone()).collect();
    let mut names = Vec::new();
    for package in &packages {
        walk(&package.folder, &folders, &mut |path| {
            let ending = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
            if ["dlm", "c"].contains(&ending) {
                names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
            } else if ending == "rs" {
                let text = fs::read_to_string(path).unwrap_or_default();
                let declared = text.lines().filter_map(|line| line.trim().strip_prefix("fn "));
                names.extend(declared.filter_map(|it| Some(it.split_once('(')?.0.to_owned())));
            }
        });
    }
    Ok(names)
}

fn all() -> Result<Vec<Package>> {
    let output = cargo(&["metadata", "--no-deps", "--format-version=1"]).output();
    let output = output.context("cannot run cargo metadata")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let packages = metadata.get("packages").and_then(Value::as_array);
    let target = |value: &Value| {
        let kind = value.pointer("/kind/0")?.as_str()?;
        if value.get("test")?.as_bool() != Some(true) || ["bin", "example", "bench"].contains(&kind)
        {
            return None;
        }
        let file = Path::new(value.get("src_path")?.as_str()?);
        let is_whole = file.ends_with("main.rs") || file.ends_with("lib.rs");
        let sources = if is_whole { file.parent()? } else { file };
        let name = value.get("name")?.as_str()?.to_owned();
        Some(Target { name, is_library: kind != "test", sources: sources.to_owned() })
    };
    let package = |value: &Value| {
        let manifest = Path::new(value.get("manifest_path")?.as_str()?);
        let name = value.get("name")?.as_str()?.to_owned();
        let targets = value.get("targets")?.as_array()?.iter().filter_map(target).collect();
        Some(Package { name, folder: manifest.parent()?.to_owned(), targets })
    };
    Ok(packages.into_iter().flatten().filter_map(package).collect())
}

/// Shows the files of a package, without those of packages in it.
fn walk(folder: &Path, packages: &[PathBuf], show: &mut dyn FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') && !packages.contains(&path) {
                walk(&path, packages, show);
            }
        } else {
            show(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(text: &str) -> Vec<String> {
        let all = packages_with(text).unwrap();
        let names = |it: &Package| {
            it.targets.iter().map(|target| format!("{}::{}", it.name, target.name)).collect()
        };
        all.iter().flat_map(|it| -> Vec<String> { names(it) }).collect()
    }

    #[test]
    fn only_programs_that_may_have_the_test_are_found() {
        assert_eq!(programs("dlm-tests::isolated::sign"), ["dlm-tests::isolated"]);
        assert_eq!(programs("isolated::signals::a_blocking_read"), ["dlm-tests::isolated"]);
        let name = ["waiters_are_granted_in", "order"].join("_");
        for program in ["engine", "kernel", "isolated"] {
            assert!(programs(&name).contains(&format!("dlm-tests::{program}")), "{program}");
        }
        assert!(!programs("isolated::").contains(&"dlm-tests::runtime".to_owned()));
        assert!(programs("on_ker").contains(&"dlm-tests::runtime".to_owned()));
        assert!(programs("on_kernel::").contains(&"dlm-tests::runtime".to_owned()));
        assert_eq!(programs(&["no", "such", "thing"].join("::")), [""; 0]);
    }
}
