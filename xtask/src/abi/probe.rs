//! Asks the installed kernel headers, by way of the C compiler.

use anyhow::{Context, Result, bail, ensure};
use goblin::elf::Elf;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use super::rows::Row;
use dlm_lab::vm::store::workspace_root;
use dlm_proto::PointerWidth;

const TEMPLATE: &str = include_str!("probe.c");

/// Bytes of a row's name and of its value in the object.
const NAME: usize = 88;
const VALUE: usize = 8;

/// What a header says: a number for each row, by [`Row::name`].
pub type Answers = BTreeMap<String, i64>;

/// Compiles the questions for programs of a width, and reads the answers from the object.
///
/// # Errors
///
/// When there is no compiler for it, or a header has no such struct or field; with what the
/// compiler said.
pub fn ask(width: PointerWidth, rows: &[Row]) -> Result<Answers> {
    let bits = match width {
        PointerWidth::W64 => "64",
        PointerWidth::W32 => "32",
    };
    let folder = workspace_root().join("target/abi");
    fs::create_dir_all(&folder)?;
    let (source, object) =
        (folder.join(format!("probe{bits}.c")), folder.join(format!("probe{bits}.o")));
    fs::write(&source, program(rows))?;
    let output = Command::new("cc")
        .args(["-std=gnu11", "-Werror", "-c", &format!("-m{bits}")])
        // The headers of the kernel are the same for both; only 64-bit compilers look there.
        .args(["-idirafter", "/usr/include/x86_64-linux-gnu"])
        .arg("-o")
        .args([&object, &source])
        .output()
        .context("cannot run cc (package gcc)")?;
    if !output.status.success() {
        bail!("cc -m{bits} (package linux-libc-dev):\n{}", String::from_utf8_lossy(&output.stderr));
    }
    read(&fs::read(&object)?).with_context(|| object.display().to_string())
}

/// Names of the constants that the headers define and that look like the DLM's.
///
/// # Errors
///
/// When there is no compiler.
pub fn constants() -> Result<Vec<String>> {
    let source = workspace_root().join("target/abi/constants.c");
    if let Some(folder) = source.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&source, program(&[]))?;
    let output = Command::new("cc").args(["-E", "-dM"]).arg(&source).output()?;
    ensure!(output.status.success(), "cc -E -dM failed on {}", source.display());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let name = |line: &str| {
        let (name, _) = line.strip_prefix("#define ")?.split_once(' ')?;
        name.starts_with("DLM_").then(|| name.to_owned())
    };
    Ok(text.lines().filter_map(name).collect())
}

fn program(rows: &[Row]) -> String {
    let lines: Vec<_> = rows.iter().map(Row::question).collect();
    TEMPLATE.replace("@ROWS@", &lines.join("\n"))
}

/// The rows in an object.
fn read(content: &[u8]) -> Result<Answers> {
    let elf = Elf::parse(content)?;
    let section = elf
        .section_headers
        .iter()
        .find(|section| elf.shdr_strtab.get_at(section.sh_name) == Some("dlm_probe"))
        .context("no section dlm_probe")?;
    let range = section.file_range().context("the section dlm_probe has no content")?;
    let bytes = content.get(range).context("the section dlm_probe is cut")?;
    let answer = |row: &[u8]| {
        let (name, value) = row.split_at_checked(NAME)?;
        let name = name.split(|&byte| byte == 0).next()?;
        let value = i64::from_le_bytes(value.try_into().ok()?);
        Some((String::from_utf8(name.to_vec()).ok()?, value))
    };
    bytes.chunks(NAME + VALUE).map(answer).collect::<Option<_>>().context("odd rows in dlm_probe")
}
