//! The sizes of a program: of its file and of what is loaded.

use anyhow::{Context, Result};
use goblin::elf::Elf;
use goblin::elf::section_header::{SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_NOBITS};
use std::fs;
use std::path::Path;

/// Bytes of a program, divided as size(1) does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// The file.
    pub file: u64,
    /// Loaded and never written: code, constants, unwinding tables.
    pub text: u64,
    /// Loaded and written.
    pub data: u64,
    /// Zero at the start, and not in the file.
    pub bss: u64,
    /// Of `text`: the code.
    pub code: u64,
}

impl Sizes {
    /// Measures a program.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let elf = Elf::parse(&content).with_context(|| path.display().to_string())?;
        let mut sizes = Self { file: u64::try_from(content.len())?, ..Self::default() };
        for section in &elf.section_headers {
            let is = |flag: u32| section.sh_flags & u64::from(flag) != 0;
            if !is(SHF_ALLOC) {
                continue;
            }
            let sum = match (section.sh_type == SHT_NOBITS, is(SHF_WRITE)) {
                (true, _) => &mut sizes.bss,
                (false, true) => &mut sizes.data,
                (false, false) => &mut sizes.text,
            };
            *sum += section.sh_size;
            if is(SHF_EXECINSTR) {
                sizes.code += section.sh_size;
            }
        }
        Ok(sizes)
    }
}
