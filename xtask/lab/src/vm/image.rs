//! Builds the initial file system of the guest, and the init program in it.

use crate::vm::apt::{find_program, output};
use crate::vm::cpio::Archive;
use crate::vm::elf::Libraries;
use crate::vm::kernels::Kernel;
use crate::vm::modules;
use crate::vm::progress::slow;
use crate::vm::store::{Key, Store, workspace_root};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Modules of every guest; what they depend on comes with them.
pub(crate) const MODULES: [&str; 3] = ["virtio_pci", "virtio_console", "dlm"];

/// Libraries that programs brought later may count on, where this machine has them.
const LIBRARIES: [&str; 7] = [
    "libc.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "libstdc++.so.6",
];
const LIBRARY_FOLDER: &str = "/lib/x86_64-linux-gnu";
/// Key of the init program's sources and of the program built from them.
const INIT_STAMP: &str = "init-built";
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A change of how the image is made makes it anew.
const RECIPE: [&str; 3] =
    [include_str!("image.rs"), include_str!("cpio.rs"), include_str!("modules.rs")];

/// The archive for a kernel.
#[derive(Debug, Clone)]
pub struct Image {
    /// The file.
    pub path: PathBuf,
    /// Name of all that it was made from.
    pub key: String,
}

/// The image for a kernel, if it is there and made from what there is now.
///
/// # Errors
///
/// When the sources of the init program cannot be read.
pub fn built(store: &Store, kernel: &Kernel) -> Result<Option<Image>> {
    let stamp = fs::read_to_string(store.path(INIT_STAMP)).unwrap_or_default();
    Ok(match stamp.split_once(' ') {
        Some((sources, init)) if sources == init_key()? => {
            Some(place(store, kernel, init)).filter(|image| image.path.exists())
        }
        _ => None,
    })
}

/// Where the image with this init program belongs.
fn place(store: &Store, kernel: &Kernel, init: &str) -> Image {
    let mut key = Key::default();
    key.add(RECIPE).add(init).add(&kernel.release);
    for program in ["busybox", "strace"] {
        key.add_stamp(&find_program(program).unwrap_or_default());
    }
    for library in LIBRARIES {
        key.add_stamp(&Path::new(LIBRARY_FOLDER).join(library));
    }
    let key = key.finish();
    Image { path: store.path("images").join(format!("{}-{key}.cpio", kernel.name)), key }
}

/// Builds the image if it is not there. The caller holds the store alone.
///
/// # Errors
///
/// When the init program does not build, or a part of the image is missing.
pub fn build(store: &Store, kernel: &Kernel) -> Result<Image> {
    if let Some(image) = built(store, kernel)? {
        return Ok(image);
    }
    let sources = init_key()?;
    let init = fs::read(build_init(store)?)?;
    let mut key = Key::default();
    let init_name = key.add(&init).finish();
    // Often only the lock file has changed for others' sake, and the program is the same.
    fs::write(store.path(INIT_STAMP), format!("{sources} {init_name}"))?;
    let image = place(store, kernel, &init_name);
    if image.path.exists() {
        return Ok(image);
    }
    let mut archive = Archive::default();
    base(&mut archive);
    programs(&mut archive)?;
    archive.file("init", 0o755, init);
    let mut order = String::new();
    for module in modules::resolve(&kernel.modules(), &MODULES)? {
        let name = format!("{}.ko", module.name);
        order.push_str(&name);
        order.push('\n');
        archive.file(&format!("modules/{name}"), 0o644, module.content);
    }
    archive.file("modules/order", 0o644, order.into_bytes());

    let folder = store.path("images");
    fs::create_dir_all(&folder)?;
    for old in fs::read_dir(&folder)? {
        let old = old?;
        if old.file_name().to_string_lossy().starts_with(&format!("{}-", kernel.name)) {
            fs::remove_file(old.path())?;
        }
    }
    let scratch = store.scratch("image")?;
    fs::write(&scratch, archive.finish())?;
    fs::rename(scratch, &image.path)?;
    Ok(image)
}

/// Folders and the few files that C library functions look into.
fn base(archive: &mut Archive) {
    for folder in ["dev", "proc", "sys", "run", "mnt", "home", "var/log", "var/lib", "usr/bin"] {
        archive.folder(folder, 0o755);
    }
    archive.folder("root", 0o700);
    archive.folder("tmp", 0o1777);
    for (link, target) in [
        ("bin", "usr/bin"),
        ("sbin", "usr/bin"),
        ("usr/sbin", "bin"),
        ("lib", "usr/lib"),
        ("lib64", "usr/lib64"),
        ("var/run", "../run"),
        ("var/tmp", "../tmp"),
    ] {
        archive.link(link, target);
    }
    // The kernel opens it for init before anything is mounted.
    archive.character_device("dev/console", 0o600, (5, 1));
    for (path, text) in [
        (
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/sh\n\
             nobody:x:65534:65534:nobody:/:/bin/sh\n",
        ),
        ("etc/group", "root:x:0:\ndaemon:x:1:\nnogroup:x:65534:\n"),
        ("etc/hosts", "127.0.0.1 localhost\n"),
    ] {
        archive.file(path, 0o644, text.into());
    }
}

fn programs(archive: &mut Archive) -> Result<()> {
    let mut libraries = Libraries::new(Vec::new());
    for name in ["strace", "busybox"] {
        let program = find_program(name).with_context(|| format!("no {name}"))?;
        libraries.add(&program)?;
        archive.file(&format!("usr/bin/{name}"), 0o755, fs::read(&program)?);
        if name == "busybox" {
            for applet in output(Command::new(&program).arg("--list"))?.lines() {
                let path = format!("usr/bin/{applet}");
                if !archive.contains(&path) {
                    archive.link(&path, "busybox");
                }
            }
        }
    }
    for name in LIBRARIES {
        let library = Path::new(LIBRARY_FOLDER).join(name);
        if library.exists() {
            libraries.add(&library)?;
            archive.file(&merged(&library), 0o755, fs::read(&library)?);
        }
    }
    for library in libraries.found() {
        archive.file(&merged(library), 0o755, fs::read(library)?);
    }
    Ok(())
}

/// Whether every guest has this library from the start.
#[must_use]
pub fn brings(library: &Path) -> bool {
    let name = library.file_name().unwrap_or_default();
    let loader = name == "ld-linux-x86-64.so.2";
    let usual = library.parent().is_some_and(|folder| folder.ends_with("lib/x86_64-linux-gnu"));
    loader || usual && LIBRARIES.iter().any(|have| name == *have)
}

/// The guest has `/lib` and `/lib64` as links into `/usr`, and the kernel does not put files of
/// the archive through links.
pub(crate) fn merged(path: &Path) -> String {
    let path = path.to_string_lossy();
    if path.starts_with("/lib") { format!("usr{path}") } else { path.into_owned() }
}

/// Names the sources of the init program, so that cargo need not be asked every time.
fn init_key() -> Result<String> {
    let root = workspace_root();
    let mut key = Key::default();
    for file in ["Cargo.toml", "Cargo.lock"] {
        key.add(fs::read(root.join(file))?);
    }
    let mut folders = vec![root.join("xtask/guest")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    for file in files {
        key.add(file.strip_prefix(&root).unwrap_or(&file)).add(fs::read(&file)?);
    }
    Ok(key.finish())
}

/// Builds the init program: static, as the guest has no libraries before it is unpacked, and
/// because it must start fast.
fn build_init(store: &Store) -> Result<PathBuf> {
    let target = store.path("init");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Of cargo's own variables for this program, those that would change the build must go.
    for name in ["CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WRAPPER"] {
        cargo.env_remove(name);
    }
    cargo
        .current_dir(workspace_root())
        .args(["build", "--quiet", "--package", "dlm-guest", "--bin", "dlm-guest"])
        .args(["--release", "--target", TARGET, "--target-dir"])
        .arg(&target)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        // A panic in any thread must end the machine visibly, not leave it half alive.
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_STRIP", "true");
    let _slow = slow("building the init program of the virtual machine");
    output(&mut cargo).context("cannot build the init program of the guest")?;
    Ok(target.join(TARGET).join("release/dlm-guest"))
}
