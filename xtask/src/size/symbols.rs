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
/// `core::panicking`; the others tell where they come from.
const FORBIDDEN: [&str; 9] = [
    "core::panicking",
    "core::panic::",
    "panic_handler",
    "rust_begin_unwind",
    "rust_eh_personality",
    "_fail",
    "core::fmt::",
    "__rust_alloc",
    "__rust_no_alloc",
];

/// Crates of which nothing may be there.
const FORBIDDEN_CRATES: [&str; 6] =
    ["std", "alloc", "panic_abort", "panic_unwind", "unwind", "std_detect"];

/// Code of one crate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Bytes of functions that are named after it.
    pub named: u64,
    /// Bytes that come from its source files, in functions of whatever crate.
    pub written: u64,
}

/// Code by crate. What the linker puts between functions belongs to none of them.
pub type Shares = BTreeMap<String, Share>;

/// Divides the code of the Rust program among crates.
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
    for symbol in elf.syms.iter().filter(|symbol| symbol.is_function() && symbol.st_size > 0) {
        let name = elf.strtab.get_at(symbol.st_name).unwrap_or_default();
        let owner = crate_of_symbol(name);
        shares.entry(owner.clone()).or_default().named += symbol.st_size;
        let mut unknown = symbol.st_size;
        let end = symbol.st_value.saturating_add(symbol.st_size);
        let rows = lines
            .find_location_range(symbol.st_value, end)
            .map_err(|error| anyhow!("{path}: {error}"))?;
        for (_, len, location) in rows {
            if let Some(from) = location.file.and_then(crate_of_file) {
                shares.entry(from).or_default().written += len;
                unknown = unknown.saturating_sub(len);
            }
        }
        // Assembly has no lines: it is where its name says.
        shares.entry(owner).or_default().written += unknown;
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
    let from = crate_of_path(&plain);
    FORBIDDEN.iter().any(|part| plain.contains(part)) || FORBIDDEN_CRATES.contains(&from.as_str())
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

fn crate_of_symbol(name: &str) -> String {
    match rust_name(name) {
        Some(path) => crate_of_path(&path),
        None if OWN.contains(&name) => "dlm_static".into(),
        None => format!("({name})"),
    }
}

/// The crate that a path starts with: of the type for a method, and core for methods of types that
/// the language has.
fn crate_of_path(path: &str) -> String {
    let mut rest = path;
    loop {
        let before = rest.len();
        rest = rest.trim_start_matches(['<', '&', '*', '(', '[']);
        for word in ["mut ", "const ", "dyn ", "impl "] {
            rest = rest.strip_prefix(word).unwrap_or(rest);
        }
        if rest.len() == before {
            break;
        }
    }
    match rest.split_once("::") {
        Some((name, _)) if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
            name.to_owned()
        }
        _ => "core".to_owned(),
    }
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
    fn a_function_belongs_to_the_crate_its_path_starts_with() {
        for (path, wanted) in [
            ("dlm_sys::sys::open", "dlm_sys"),
            ("<dlm_sys::sys::Fd as core::ops::drop::Drop>::drop", "dlm_sys"),
            ("<&mut [dlm_proto::Mode] as core::fmt::Debug>::fmt", "dlm_proto"),
            ("dlm_proto::request::encode::<impl dlm_proto::Request>::encode", "dlm_proto"),
            ("<u32 as core::fmt::Display>::fmt", "core"),
            ("<[T]>::copy_from_slice", "core"),
        ] {
            assert_eq!(crate_of_path(path), wanted, "{path}");
        }
        assert_eq!(crate_of_symbol("memcpy"), "dlm_static");
        assert_eq!(crate_of_symbol("malloc"), "(malloc)");
    }

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
