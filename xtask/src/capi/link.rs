//! Building the libraries.
//!
//! A cdylib cannot carry symbol versions, so the shared libraries are linked from static archives,
//! with a version script that lists what they export.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dlm_lab::cargo::cargo;
use dlm_lab::vm::apt::output;
use dlm_lab::vm::store::{remove_all, workspace_root};

/// The libraries, which are also the names of the crates and of the version scripts.
pub(super) const LIBRARIES: [&str; 2] = ["libdlm", "libdlm_lt"];

/// The version in the sonames, and the one in the file names.
const SONAME: &str = "3";
const FILE: &str = "3.0";

/// A sanitizer wants to be told the target.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// What the standard library needs of the system.
const SYSTEM: [&str; 3] = ["-lpthread", "-ldl", "-lm"];

/// Builds the shared libraries with their links, and the archives, into `target/c`. (`target/capi` is
/// cargo's own, of the profile of that name, with archives of the same names.)
///
/// # Errors
///
/// When a compiler or linker fails.
pub fn build() -> Result<PathBuf> {
    build_for(false)
}

/// As [`build`]. `address`: with AddressSanitizer, into `target/c-address`, and without archives.
pub(super) fn build_for(address: bool) -> Result<PathBuf> {
    let folder = workspace_root().join(if address { "target/c-address" } else { "target/c" });
    remove_all(&folder)?;
    fs::create_dir_all(&folder)?;
    for (name, archive) in LIBRARIES.into_iter().zip(archives(address)?) {
        let script =
            workspace_root().join("dlm-runtime/capi").join(name).join(format!("{name}.map"));
        let exports = exports(&script)?;
        shared(&folder, (name, &archive), &script, &exports, address)?;
        if !address {
            static_archive(&folder, name, &archive, &exports)?;
        }
    }
    Ok(folder)
}

/// The functions that a version script lists.
pub(super) fn exports(script: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(script).with_context(|| format!("{}", script.display()))?;
    let names = text.lines().filter_map(|line| line.trim().strip_suffix(';'));
    let names: Vec<_> = names.filter(|name| is_name(name)).map(str::to_owned).collect();
    if names.is_empty() {
        bail!("{} lists no functions", script.display());
    }
    Ok(names)
}

fn is_name(word: &str) -> bool {
    word.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

/// Compiles the crates. Returns their archives, in the order of [`LIBRARIES`].
fn archives(address: bool) -> Result<Vec<PathBuf>> {
    let mut command = cargo(&["build", "--quiet", "--profile", "capi"]);
    if address {
        // As for the tests: it is for the target alone, and the stable compiler keeps it back.
        command.args(["--target", TRIPLE]);
        command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address");
        command.env("CARGO_TARGET_DIR", workspace_root().join("target/sanitize/address"));
    }
    command.arg("--message-format=json-render-diagnostics");
    for name in LIBRARIES {
        command.args(["-p", name]);
    }
    let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo build of the C libraries failed");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let archive = |wanted: &str| {
        messages.lines().find_map(|line| {
            let message: Value = serde_json::from_str(line).ok()?;
            let name = message.get("target")?.get("name")?.as_str()?;
            let files = message.get("filenames").filter(|_| name == wanted)?.as_array()?;
            files
                .iter()
                .filter_map(Value::as_str)
                .find(|file| file.ends_with(".a"))
                .map(PathBuf::from)
        })
    };
    let found = LIBRARIES.iter().map(|name| archive(name).with_context(|| format!("no {name}.a")));
    found.collect()
}

/// `NAME.so.3.0`, and the links to it.
fn shared(
    folder: &Path,
    (name, archive): (&str, &Path),
    script: &Path,
    exports: &[String],
    address: bool,
) -> Result<()> {
    let file = format!("{name}.so.{FILE}");
    let soname = format!("{name}.so.{SONAME}");
    let mut linker = Command::new("cc");
    linker.args(["-shared", "-static-libgcc", "-o"]).arg(folder.join(&file));
    linker.arg(format!("-Wl,--version-script={}", script.display()));
    linker.arg(format!("-Wl,-soname,{soname}"));
    linker.args(["-Wl,--gc-sections", "-Wl,-z,relro,-z,now,-z,nodelete", "-Wl,--strip-debug"]);
    if !address {
        // The program brings the sanitizer.
        linker.arg("-Wl,-z,defs");
    }
    linker.args(exports.iter().map(|export| format!("-Wl,-u,{export}")));
    output(linker.arg(archive).args(SYSTEM))?;
    symlink(&file, folder.join(soname))?;
    symlink(&file, folder.join(format!("{name}.so")))?;
    Ok(())
}

/// `NAME.a`: one object, of which only the functions of the interface can be seen, so that nothing
/// in it meets the symbols of the program.
fn static_archive(folder: &Path, name: &str, archive: &Path, exports: &[String]) -> Result<()> {
    let object = folder.join(format!("{name}.o"));
    let mut linker = Command::new("ld");
    linker.args(["-r", "--gc-sections", "--strip-debug", "-o"]).arg(&object);
    linker.args(exports.iter().flat_map(|export| ["-u", export]));
    output(linker.arg(archive))?;
    let mut objcopy = Command::new("objcopy");
    objcopy.args(exports.iter().map(|export| format!("--keep-global-symbol={export}")));
    output(objcopy.arg(&object))?;
    output(Command::new("ar").arg("rcs").args([&folder.join(format!("{name}.a")), &object]))?;
    fs::remove_file(object)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_scripts_list_the_functions() {
        let capi = workspace_root().join("dlm-runtime/capi");
        for (name, count) in LIBRARIES.into_iter().zip([26, 21]) {
            let exports = exports(&capi.join(name).join(format!("{name}.map"))).unwrap();
            assert_eq!(exports.len(), count);
            assert!(exports.contains(&"dlm_dispatch".to_owned()));
        }
    }
}
