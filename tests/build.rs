//! Compiles the scenarios into the tests, and makes a test of each.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = fs::canonicalize("scenarios")?;
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|it| it == "dlm"));
    files.sort();
    let mut corpus = String::from(
        "/// All files: their names without the ending, and their texts.\n\
         pub const FILES: &[(&str, &str)] = &[\n",
    );
    let mut tests = [String::new(), String::new(), String::new()];
    for path in &files {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        println!("cargo::rerun-if-changed={}", path.display());
        let _ = writeln!(corpus, "({name:?}, include_str!({path:?})),");
        let warns = fs::read_to_string(path)?.lines().any(|line| line.trim() == "warns");
        let ignored = "#[ignore = \"needs a DLM device: cargo xtask test runs it in a VM\"]\n";
        let [kernel, kernel_warns, engine] = &mut tests;
        let on_kernel = if warns { kernel_warns } else { kernel };
        let _ = write!(on_kernel, "#[test]\n{ignored}fn {name}() {{ on_kernel({name:?}); }}\n");
        let _ = write!(engine, "#[test]\nfn {name}() {{ on_engine({name:?}); }}\n");
    }
    corpus.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    write(&out, "corpus.rs", &corpus)?;
    for (file, text) in ["kernel.rs", "kernel_warns.rs", "engine.rs"].into_iter().zip(&tests) {
        write(&out, file, text)?;
    }
    Ok(())
}

fn write(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    fs::write(folder.join(name), text)
}
