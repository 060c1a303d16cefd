//! The symbols of a program: the crate of each byte of code, and those that must not be there.

use addr2line::Loader;
use anyhow::{Context, Result, anyhow};
use goblin::elf::Elf;
use goblin::elf::sym::{STT_FILE, STT_SECTION};
use std::collections::BTreeMap;
use std::path::Path;

use super::build::Built;

/// Functions with a C name that the program brings along (`src/start.rs` and `src/memory.rs` of the
/// package). Any other is from a C library.
const OWN: [&str; 5] = ["_start", "memcpy", "memset", "memcmp", "bcmp"];

/// What the names of functions hold that panic, format or allocate. All panics come together in
/// `core::panicking`; the others tell where they come from. `alloc::` is the crate, and what core has
/// for it.
const FORBIDDEN: [&str; 13] = [
    "core::panicking",
    "core::panic::",
    "panic_handler",
    "rust_begin_unwind",
    "rust_eh_personality",
    "_fail",
    "core::fmt::",
    "__rust_alloc",
    "__rust_no_alloc",
    "alloc::",
    "std::",
    "std_detect::",
    "panic_",
];

/// Code by crate, in bytes.
pub type Shares = BTreeMap<String, u64>;

/// What has no line: assembly, and what the linker puts between functions.
const NO_LINE: &str = "no line";

/// Divides the code of the Rust program among crates: by the source file that its line table names,
/// wherever that was inlined.
///
/// # Errors
///
/// When it cannot be read.
pub fn shares(program: &Built) -> Result<Shares> {
    let path = program.full.display().to_string();
    let content = std::fs::read(&program.full).with_context(|| format!("cannot read {path}"))?;
    let elf = Elf::parse(&content).with_context(|| path.clone())?;
    let lines = Loader::new(&program.full).map_err(|error| anyhow!("{path}: {error}"))?;
    let mut shares = Shares::new();
    for section in elf.section_headers.iter().filter(|section| section.is_executable()) {
        let mut unknown = section.sh_size;
        let rows = lines
            .find_location_range(section.sh_addr, section.sh_addr.saturating_add(section.sh_size))
            .map_err(|error| anyhow!("{path}: {error}"))?;
        for (_, len, location) in rows {
            if let Some(from) = location.file.and_then(crate_of_file) {
                *shares.entry(from).or_default() += len;
                unknown = unknown.saturating_sub(len);
            }
        }
        *shares.entry(NO_LINE.into()).or_default() += unknown;
    }
    Ok(shares)
}

/// The symbols of a Rust program that must not be there, and source files that its constants name,
/// as the message of a panic does.
///
/// # Errors
///
/// When it cannot be read.
pub fn forbidden(program: &Built) -> Result<Vec<String>> {
    let content = std::fs::read(&program.full)?;
    let elf = Elf::parse(&content).with_context(|| program.full.display().to_string())?;
    let mut found: Vec<String> = elf
        .syms
        .iter()
        .filter(|symbol| !matches!(symbol.st_type(), STT_FILE | STT_SECTION))
        .filter_map(|symbol| elf.strtab.get_at(symbol.st_name))
        .filter(|name| is_forbidden(name))
        .map(|name| format!("{}: {:#}", program.name, rustc_demangle::demangle(name)))
        .collect();
    found.sort();
    found.dedup();
    let names = source_names(&std::fs::read(&program.stripped)?);
    found.extend(names.into_iter().map(|text| format!("{}: {text}", program.name)));
    Ok(found)
}

/// Texts that end as names of Rust source files do.
fn source_names(content: &[u8]) -> Vec<String> {
    let printable = |byte: &u8| !byte.is_ascii_graphic();
    let words = content.split(printable).filter_map(|word| std::str::from_utf8(word).ok());
    let end = |word: &str| word.find(".rs").map(|at| at + ".rs".len());
    words.filter_map(|word| Some(format!("the text {:?}", word.get(..end(word)?)?))).collect()
}

fn is_forbidden(name: &str) -> bool {
    let Some(plain) = rust_name(name) else {
        // The linker marks places by names such as `__bss_start`, which are no code.
        return !name.is_empty() && !OWN.contains(&name) && !is_mark(name);
    };
    FORBIDDEN.iter().any(|part| plain.contains(part))
}

/// Names that the linker or the assembler makes up.
fn is_mark(name: &str) -> bool {
    const MARKS: [&str; 8] = [
        "_GLOBAL_OFFSET_TABLE_",
        "__bss_start",
        "__dso_handle",
        "__ehdr_start",
        "__executable_start",
        "_edata",
        "_end",
        "_etext",
    ];
    MARKS.contains(&name) || name.starts_with('.') || name.starts_with('$')
}

/// The path of a Rust function without hashes, or `None` for a C name.
fn rust_name(name: &str) -> Option<String> {
    rustc_demangle::try_demangle(name).ok().map(|name| format!("{name:#}"))
}

/// The crate of a source file, from the folder above its `src`.
fn crate_of_file(path: &str) -> Option<String> {
    let (above, _) = path.rsplit_once("/src/")?;
    let folder = Path::new(above).file_name()?.to_str()?;
    if folder == "static" {
        return Some("dlm_static".into());
    }
    // Those from the registry have their version at the end.
    let name = match folder.rsplit_once('-') {
        Some((name, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => name,
        _ => folder,
    };
    Some(name.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_file_belongs_to_the_folder_above_src() {
        for (path, wanted) in [
            ("/w/dlm-proto/src/layout/v6.rs", "dlm_proto"),
            ("/w/dlm-sys/static/src/main.rs", "dlm_static"),
            ("/rustc/59807616e/library/core/src/slice/mod.rs", "core"),
            ("/h/.cargo/registry/src/index.crates.io-19/zerocopy-0.8.3/src/lib.rs", "zerocopy"),
        ] {
            assert_eq!(crate_of_file(path).as_deref(), Some(wanted), "{path}");
        }
    }

    #[test]
    fn panics_formatting_allocation_and_c_libraries_are_found() {
        for bad in [
            "_ZN4core9panicking9panic_fmt17h0123456789abcdefE",
            "_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE",
            "_ZN5alloc3vec3new17h0123456789abcdefE",
            "_RNvNtCs1234_4core9panicking9panic_fmt",
            "_RNvCs1234_7___rustc17rust_begin_unwind",
            "rust_eh_personality",
            "__rust_alloc",
            "malloc",
            "printf",
            "memmove",
            "read",
            "__errno_location",
        ] {
            assert!(is_forbidden(bad), "{bad}");
        }
        for good in ["_RNvNtCs1234_7dlm_sys3sys4open", "memcpy", "_start", "_end", ".Lswitch", ""] {
            assert!(!is_forbidden(good), "{good}");
        }
    }

    #[test]
    fn the_place_of_a_panic_is_found() {
        let found = source_names(b"\x00\x01ELF\0src/main.rsattempt to add\0x");
        assert_eq!(found, ["the text \"src/main.rs\""]);
        assert!(source_names(b"ELF\0/dev/dlm-control\0.rodata\0").is_empty());
    }
}
