//! `cargo xtask dist`: what programs in C need, and the program `dlm`, in a tree that is copied to its
//! place as it is.

pub mod manual;
pub mod tree;

use anyhow::{Context, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::capi;
use dlm_lab::cargo;
use dlm_lab::vm::apt;
use dlm_lab::vm::store::workspace_root;
use tree::{Content, Placed, Tree};

/// How to use it.
pub const USAGE: &str = "\
usage: cargo xtask dist [--out DIR]

Builds libdlm and libdlm_lt, shared and static, and lays them out with what belongs to them: header,
pkg-config files, manual pages, udev rules. The program dlm comes along, with its manual page and
completions. The tree is target/dist unless another folder is given,
whose content is replaced. It works wherever it is copied to, for example:

    cp -a target/dist/. /usr/local && ldconfig
";

/// The libraries.
const LIBRARIES: [&str; 2] = ["libdlm", "libdlm_lt"];

/// Documents that come along, from the root of the workspace.
const DOCUMENTS: [&str; 3] = ["dlm-runtime/capi/README.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// The folder of what is for programs in C.
#[must_use]
pub fn sources() -> PathBuf {
    workspace_root().join("dlm-runtime/capi")
}

/// Puts everything that needs not be built.
///
/// # Errors
///
/// When a file is missing or cannot be written.
pub fn lay(tree: &mut Tree) -> Result<()> {
    let sources = sources();
    tree.copy(&sources.join("include/libdlm.h"), "include/libdlm.h")?;
    for name in LIBRARIES {
        let file = format!("{name}.pc");
        tree.copy(&sources.join("pkgconfig").join(&file), Path::new("lib/pkgconfig").join(file))?;
    }
    let folder = Path::new("share/man/man3");
    for page in manual::pages(&sources.join("man"))? {
        tree.copy(&page.path, folder.join(format!("{}.3", page.name)))?;
        for other in page.others() {
            let text = format!(".so man3/{}.3\n", page.name);
            tree.write(&text, folder.join(format!("{other}.3")))?;
        }
    }
    tree.copy(&sources.join("udev/51-dlm.rules"), "lib/udev/rules.d/51-dlm.rules")?;
    for document in DOCUMENTS {
        let name = Path::new(document).file_name().unwrap_or_default();
        tree.copy(&workspace_root().join(document), Path::new("share/doc/libdlm").join(name))?;
    }
    Ok(())
}

/// Puts the libraries: each with its links, and its archive.
fn lay_libraries(tree: &mut Tree, built: &Path) -> Result<()> {
    let folder = Path::new("lib");
    for name in LIBRARIES {
        let file = format!("{name}.so.3.0");
        tree.copy(&built.join(&file), folder.join(&file))?;
        for link in [format!("{name}.so.3"), format!("{name}.so")] {
            tree.link(&file, folder.join(link))?;
        }
        let archive = format!("{name}.a");
        tree.copy(&built.join(&archive), folder.join(archive))?;
    }
    Ok(())
}

/// The program `dlm`, as it is built.
const TOOL: [&str; 6] = ["build", "--release", "-p", "dlm-cli", "--bin", "dlm"];

/// Completions: what the shell is called, and where it looks for the file.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/dlm"),
    ("fish", "share/fish/vendor_completions.d/dlm.fish"),
    ("zsh", "share/zsh/site-functions/_dlm"),
];

/// Puts the program `dlm`, its manual page and its completions, which it writes itself.
fn lay_tool(tree: &mut Tree) -> Result<()> {
    let built = cargo::build(&TOOL)?;
    let program = built.first().context("cargo built no dlm")?;
    let says = |words: &[&str]| apt::output(Command::new(&program.path).args(words));
    tree.copy(&cargo::stripped(program)?, "bin/dlm")?;
    tree.write(&says(&["manual"])?, "share/man/man8/dlm.8")?;
    for (shell, place) in COMPLETIONS {
        tree.write(&says(&["completion", shell])?, place)?;
    }
    Ok(())
}

/// Makes the tree in a folder.
///
/// # Errors
///
/// When the libraries cannot be built or a file cannot be written.
pub fn make(root: &Path) -> Result<Vec<Placed>> {
    let built = capi::build()?;
    let mut tree = Tree::begin(root)?;
    lay_libraries(&mut tree, &built)?;
    lay(&mut tree)?;
    lay_tool(&mut tree)?;
    Ok(tree.finish())
}

/// Runs the subcommand.
///
/// # Errors
///
/// [`crate::Usage`] for wrong arguments; as for [`make`].
pub fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let Some(root) = parse(arguments).map_err(|error| crate::Usage::new(&error, USAGE))? else {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    let placed = make(&root)?;
    for one in &placed {
        println!("{one}");
    }
    let bytes: u64 = placed
        .iter()
        .map(|one| match one.content {
            Content::Bytes(bytes) => bytes,
            Content::Link(_) => 0,
        })
        .sum();
    println!("{bytes:>10}  in {} places in {}", placed.len(), root.display());
    Ok(ExitCode::SUCCESS)
}

/// The folder to make the tree in, or `None` when help was asked for.
fn parse(arguments: Vec<OsString>) -> Result<Option<PathBuf>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut root = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("out") if root.is_none() => root = Some(PathBuf::from(parser.value()?)),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(root.unwrap_or_else(|| workspace_root().join("target/dist"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_can_be_chosen() {
        let parse = |words: &[&str]| parse(words.iter().map(OsString::from).collect());
        assert!(parse(&[]).unwrap().unwrap().ends_with("target/dist"));
        assert_eq!(parse(&["--out", "/x"]).unwrap().unwrap(), Path::new("/x"));
        assert!(parse(&["--help"]).unwrap().is_none());
        for bad in [&["x"][..], &["--out"], &["--out", "a", "--out", "b"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
