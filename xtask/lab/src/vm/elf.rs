//! Finds the shared libraries that programs need, as the loader in the guest will look for them.

use anyhow::{Context, Result};
use goblin::elf::Elf;
use goblin::elf::header::{EM_X86_64, ET_DYN, ET_EXEC};
use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where the loader looks without being told.
const DEFAULT: [&str; 5] =
    ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/lib", "/usr/lib"];

/// What a program or library asks its loader for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The loader.
    pub interpreter: Option<String>,
    /// Names of libraries.
    pub libraries: Vec<String>,
    /// Folders to look in before and after `LD_LIBRARY_PATH`.
    pub search: (Vec<String>, Vec<String>),
}

/// Reads the needs of an ELF file; nothing for other files and other machines' programs.
#[must_use]
pub fn needs(content: &[u8]) -> Option<Needs> {
    let elf = Elf::parse(content).ok()?;
    let header = elf.header;
    if header.e_machine != EM_X86_64 || !matches!(header.e_type, ET_EXEC | ET_DYN) {
        return None;
    }
    let split = |paths: &[&str]| -> Vec<String> {
        paths.iter().flat_map(|p| p.split(':')).map(str::to_owned).collect()
    };
    // A RUNPATH makes the loader ignore the RPATH.
    let rpath = if elf.runpaths.is_empty() { split(&elf.rpaths) } else { Vec::new() };
    Some(Needs {
        interpreter: elf.interpreter.map(str::to_owned),
        libraries: elf.libraries.iter().map(|name| (*name).to_owned()).collect(),
        search: (rpath, split(&elf.runpaths)),
    })
}

/// Collects the libraries of any number of programs.
#[derive(Debug)]
pub struct Libraries {
    /// Folders of the user that the guest gets as a whole, searched like `LD_LIBRARY_PATH`.
    own: Vec<PathBuf>,
    /// Folders that this machine's loader knows from its configuration, but the guest's does not.
    configured: Vec<PathBuf>,
    found: BTreeSet<PathBuf>,
    seen: HashSet<PathBuf>,
}

impl Libraries {
    /// Starts with folders whose files need not be collected, as the guest has them anyway.
    #[must_use]
    pub fn new(own: Vec<PathBuf>) -> Self {
        Self {
            own,
            configured: configured_folders(Path::new("/etc/ld.so.conf.d")),
            found: BTreeSet::new(),
            seen: HashSet::new(),
        }
    }

    /// Adds a file with everything it needs. Files that are no programs add nothing.
    ///
    /// A library that is found nowhere is left to the guest's loader to complain about: the
    /// program may never be run.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn add(&mut self, file: &Path) -> Result<()> {
        let mut files = vec![file.to_path_buf()];
        while let Some(file) = files.pop() {
            if !self.seen.insert(file.clone()) {
                continue;
            }
            let Some(needs) = read(&file)? else { continue };
            let loader = needs.interpreter.as_ref().map(PathBuf::from).filter(|p| p.is_file());
            let origin = file.parent().unwrap_or(Path::new("/"));
            let libraries = needs.libraries.iter().filter_map(|l| self.find(l, &needs, origin));
            for library in libraries.chain(loader).collect::<Vec<_>>() {
                if !self.own.iter().any(|own| library.starts_with(own)) {
                    self.found.insert(library.clone());
                }
                files.push(library);
            }
        }
        Ok(())
    }

    fn find(&self, name: &str, needs: &Needs, origin: &Path) -> Option<PathBuf> {
        let expand = |folder: &String| {
            let origin = origin.to_string_lossy();
            PathBuf::from(folder.replace("$ORIGIN", &origin).replace("${ORIGIN}", &origin))
        };
        let own = self.own.iter().flat_map(|own| [own.clone(), own.join("lib")]);
        let folders = needs.search.0.iter().map(expand).chain(own);
        let folders = folders.chain(needs.search.1.iter().map(expand));
        let folders = folders.chain(self.configured.iter().cloned());
        folders.chain(DEFAULT.map(PathBuf::from)).map(|f| f.join(name)).find(|f| f.is_file())
    }

    /// The libraries collected, by the path at which the guest needs them.
    pub fn found(&self) -> impl Iterator<Item = &Path> {
        self.found.iter().map(PathBuf::as_path)
    }

    /// All files looked at: the programs added, and every library of theirs, also those in folders
    /// that the guest gets as a whole.
    pub fn seen(&self) -> impl Iterator<Item = &Path> {
        self.seen.iter().map(PathBuf::as_path)
    }

    /// Folders that the guest's loader has to be told about.
    #[must_use]
    pub fn unusual_folders(&self) -> Vec<PathBuf> {
        let used = |folder: &&PathBuf| self.found.iter().any(|f| f.parent() == Some(folder));
        self.configured.iter().filter(used).cloned().collect()
    }
}

fn read(file: &Path) -> Result<Option<Needs>> {
    let open = || -> std::io::Result<Option<Vec<u8>>> {
        let mut content = vec![0; 4];
        let mut handle = File::open(file)?;
        // Most files are no programs; those are not read in full.
        if handle.read_exact(&mut content).is_err() || content != *b"\x7fELF" {
            return Ok(None);
        }
        handle.read_to_end(&mut content)?;
        Ok(Some(content))
    };
    let content = open().with_context(|| format!("cannot read {}", file.display()))?;
    Ok(content.and_then(|content| needs(&content)))
}

fn configured_folders(etc: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(etc).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut folders = Vec::new();
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "conf")) {
        let text = fs::read_to_string(file).unwrap_or_default();
        let lines = text.lines().map(str::trim).filter(|line| line.starts_with('/'));
        folders.extend(lines.filter(|line| !DEFAULT.contains(line)).map(PathBuf::from));
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_needs_the_c_library() {
        let me = std::env::current_exe().unwrap();
        let needs = read(&me).unwrap().unwrap();
        assert!(needs.interpreter.unwrap().contains("ld-linux"));
        let mut libraries = Libraries::new(Vec::new());
        libraries.add(&me).unwrap();
        assert!(libraries.found().any(|path| path.ends_with("libc.so.6")));
        assert!(libraries.found().any(|path| path.ends_with("ld-linux-x86-64.so.2")));
    }

    #[test]
    fn other_files_need_nothing() {
        assert_eq!(needs(b"#!/bin/sh\n"), None);
        assert_eq!(needs(b"\x7fELF but broken"), None);
        let mut libraries = Libraries::new(Vec::new());
        libraries.add(Path::new("/etc/passwd")).unwrap();
        assert_eq!(libraries.found().count(), 0);
        assert!(libraries.add(Path::new("/nonexistent")).is_err());
    }
}
