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

/// The packages, with those programs that have the last part of this text in a source or its path.
pub(super) fn packages_with(text: &str) -> Result<Vec<Package>> {
    let part = text.trim_end_matches(':').rsplit("::").next().unwrap_or(text);
    let mut packages = all()?;
    let folders: Vec<_> = packages.iter().map(|it| it.folder.clone()).collect();
    for package in &mut packages {
        if package.name.contains(part) {
            continue;
        }
        let mut found = Vec::new();
        walk(&package.folder, &folders, &mut |path| {
            let relative = path.strip_prefix(&package.folder).unwrap_or(path).to_string_lossy();
            let ending = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
            let in_text = || fs::read_to_string(path).is_ok_and(|source| source.contains(part));
            if relative.contains(part) || ending == "rs" && in_text() {
                found.push(path.to_owned());
            }
        });
        package.targets.retain(|target| {
            let has = |path: &PathBuf| path.starts_with(&target.sources);
            // The scenarios are tests of programs that do not have their names.
            let scenario = |path: &PathBuf| path.extension().is_some_and(|it| it == "dlm");
            target.name.contains(part)
                || found.iter().any(|path| has(path) || scenario(path) && !target.is_library)
        });
    }
    packages.retain(|package| !package.targets.is_empty());
    Ok(packages)
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
