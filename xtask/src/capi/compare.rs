//! The libraries beside Debian's: what they export, how they are called, and the header's structs.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

use super::debian::Debian;
use super::link::LIBRARIES;
use dlm_lab::vm::apt::output;
use dlm_lab::vm::store::workspace_root;

/// The version that each function carries. Debian's have none; openSUSE's have this one, and
/// programs built there are content with no other.
const VERSION: &str = "V_4.1.0";

/// Compares. Returns what differs.
pub(super) fn differences(ours: &Path, debian: &Debian) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for name in LIBRARIES {
        let file = format!("{name}.so.3");
        let (ours, theirs) = (ours.join(&file), debian.libraries.join(&file));
        let (our, their) = (symbols(&ours)?, symbols(&theirs)?);
        let names = |symbols: &[(String, String)]| -> Vec<String> {
            symbols.iter().map(|(name, _)| name.clone()).collect()
        };
        if names(&our) != names(&their) {
            wrong.push(format!("{file}: exports {:?}, Debian's {:?}", names(&our), names(&their)));
        }
        for (symbol, version) in &our {
            if version != VERSION {
                wrong.push(format!("{file}: {symbol} has version {version:?}"));
            }
        }
        let (our, their) = (soname(&ours)?, soname(&theirs)?);
        if our != their || our != file {
            wrong.push(format!("{file}: soname {our:?}, Debian's {their:?}"));
        }
        if !dynamic(&ours)?.contains("NODELETE") {
            wrong.push(format!("{file}: can be unloaded, with threads in it"));
        }
        let real = std::fs::canonicalize(&ours)?;
        if real.file_name().is_none_or(|real| real.to_string_lossy() != format!("{file}.0")) {
            wrong.push(format!("{file} leads to {}", real.display()));
        }
    }
    let layout = layout(&debian.headers)?;
    if layout != LAYOUT {
        wrong.push(format!("struct dlm_lksb is {layout}, not {LAYOUT}"));
    }
    let header = workspace_root().join("dlm-runtime/capi/include");
    if header.join("libdlm.h").exists() && self::layout(&header)? != layout {
        wrong.push("our libdlm.h has another struct dlm_lksb".into());
    }
    Ok(wrong)
}

/// The exported functions in order, with their versions.
fn symbols(library: &Path) -> Result<Vec<(String, String)>> {
    let listed = output(Command::new("nm").args(["-D", "--defined-only"]).arg(library))?;
    let mut symbols = Vec::new();
    for line in listed.lines() {
        let mut words = line.split_whitespace().skip(1);
        let (Some(kind), Some(symbol)) = (words.next(), words.next()) else {
            bail!("nm says of {}: {line}", library.display());
        };
        // The version itself is listed as an absolute symbol.
        if kind == "A" {
            continue;
        }
        let (name, version) = symbol.split_once("@@").unwrap_or((symbol, ""));
        symbols.push((name.to_owned(), version.to_owned()));
    }
    symbols.sort();
    Ok(symbols)
}

/// The dynamic section.
fn dynamic(library: &Path) -> Result<String> {
    output(Command::new("readelf").args(["-d", "-W"]).arg(library))
}

fn soname(library: &Path) -> Result<String> {
    let shown = dynamic(library)?;
    let line = shown.lines().find(|line| line.contains("(SONAME)"));
    let name = line.and_then(|line| line.split_once('[')?.1.split_once(']'));
    Ok(name.context("no soname")?.0.to_owned())
}

/// Size and offsets as dlm-capi has them on 64-bit machines, where it asserts them.
const LAYOUT: &str = "24 0 4 8 16";

/// Those of a header.
fn layout(headers: &Path) -> Result<String> {
    const PROBE: &str = "#include <stddef.h>\n#include <stdio.h>\n#include <sys/types.h>\n\
        #include <libdlm.h>\n#define AT(f) offsetof(struct dlm_lksb, f)\n\
        int main(void) { printf(\"%zu %zu %zu %zu %zu\", sizeof(struct dlm_lksb), \
        AT(sb_status), AT(sb_lkid), AT(sb_flags), AT(sb_lvbptr)); return 0; }\n";
    let folder = workspace_root().join("target/c");
    let (source, program) = (folder.join("layout.c"), folder.join("layout"));
    std::fs::write(&source, PROBE)?;
    output(Command::new("cc").arg("-I").arg(headers).arg("-o").args([&program, &source]))?;
    let printed = output(&mut Command::new(&program))?;
    for file in [source, program] {
        std::fs::remove_file(file)?;
    }
    Ok(printed)
}
