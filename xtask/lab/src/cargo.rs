//! Building with cargo, and finding what was built.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::vm::store::workspace_root;

/// A program that cargo has built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The package that it is of.
    pub package: String,
    /// The name of its target: of the test file, the example or the binary.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// A cargo command in this workspace.
#[must_use]
pub fn cargo(arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(workspace_root());
    command
}

/// Builds with the given arguments (`build` or `test --no-run` and what to build) and returns the
/// programs that came out; of `test`, only the programs of tests: cargo also builds and lists the
/// binaries of their package. Messages of the compiler go to standard error.
///
/// # Errors
///
/// When it does not build.
pub fn build(arguments: &[&str]) -> Result<Vec<Program>> {
    build_with(cargo(arguments))
}

/// As [`build`], with a command of which only the kind of messages is still missing.
///
/// # Errors
///
/// When it does not build.
pub fn build_with(mut command: Command) -> Result<Vec<Program>> {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    let line = format!("cargo {}", words.join(" "));
    let only_tests = words.first().is_some_and(|word| word == "test");
    let output = command
        .args(["--quiet", "--message-format=json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {line}"))?;
    if !output.status.success() {
        bail!("{line} failed");
    }
    Ok(programs(&String::from_utf8_lossy(&output.stdout), only_tests))
}

/// A program without its debug information, which is most of what would be copied into machines. It
/// stands beside the program.
///
/// # Errors
///
/// When there is no `strip`, or it does not understand the program.
pub fn stripped(program: &Program) -> Result<PathBuf> {
    let path = program.path.with_extension("stripped");
    let mut strip = Command::new("strip");
    strip.arg("--strip-debug").arg("-o").args([&path, &program.path]);
    let status = strip.status().context("cannot run strip (package binutils)")?;
    if !status.success() {
        bail!("strip failed on {}", program.path.display());
    }
    Ok(path)
}

/// The programs among the messages of cargo, or only those that are full of tests.
fn programs(messages: &str, only_tests: bool) -> Vec<Program> {
    let program = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        if only_tests && message.pointer("/profile/test")?.as_bool() != Some(true) {
            return None;
        }
        let path = message.get("executable")?.as_str()?.into();
        let name = message.get("target")?.get("name")?.as_str()?.to_owned();
        // `...#NAME@VERSION`, or `.../NAME#VERSION` where the folder is called so.
        let id = message.get("package_id")?.as_str()?;
        let (folder, version) = id.split_once('#').unwrap_or((id, ""));
        let folder = folder.rsplit('/').next().unwrap_or_default();
        let package = version.split_once('@').map_or(folder, |(name, _)| name).to_owned();
        Some(Program { package, name, path })
    };
    messages.lines().filter_map(program).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_among_other_messages() {
        let messages = r#"
{"reason":"compiler-artifact","target":{"name":"lib"},"profile":{"test":true},"executable":null}
{"reason":"compiler-artifact","target":{"name":"demo"},"profile":{"test":false},"executable":"/t/demo","package_id":"path+file:///t/demo#0.1.0"}
{"reason":"compiler-artifact","target":{"name":"demo"},"profile":{"test":true},"executable":"/t/demo-1","package_id":"path+file:///t/x#demo@0.1.0"}
{"reason":"build-finished","success":true}
"#;
        let program =
            |path: &str| Program { package: "demo".into(), name: "demo".into(), path: path.into() };
        assert_eq!(programs(messages, false), [program("/t/demo"), program("/t/demo-1")]);
        assert_eq!(programs(messages, true), [program("/t/demo-1")]);
    }
}
