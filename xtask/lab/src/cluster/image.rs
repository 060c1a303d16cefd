//! The initial file system of a node: that of every guest, and the cluster's programs.

use super::packages;
use crate::vm::cpio::Archive;
use crate::vm::elf::Libraries;
use crate::vm::image::{self, Image, brings};
use crate::vm::kernels::{self, Kernel};
use crate::vm::modules;
use crate::vm::start::Prepared;
use crate::vm::store::{Access, Key, Store};
use crate::vm::unpacked::place_in_guest;
use crate::vm::{prepare as prepare_guest, provision};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// Of Debian's packages, what a node needs.
const PROGRAMS: [&str; 7] = [
    "corosync",
    "corosync-cfgtool",
    "corosync-cmapctl",
    "corosync-quorumtool",
    "dlm_controld",
    "dlm_stonith",
    "dlm_tool",
];

/// The drivers of the network card and of the shared disk, beside the modules of every guest.
const DRIVERS: [&str; 2] = ["virtio_net", "virtio_blk"];

/// Scripts of the nodes.
const SCRIPTS: [(&str, &str); 2] =
    [("node-up", include_str!("files/node-up")), ("fence_host", include_str!("files/fence_host"))];

/// A change of how the image is made makes it anew.
const RECIPE: &str = include_str!("image.rs");

/// Everything that the nodes are made from.
pub struct Parts {
    /// What every guest is made from; holds the store's lock.
    pub guest: Prepared,
    /// The image of a node.
    pub image: Image,
}

/// Makes sure that all is there that nodes with this kernel are made from.
///
/// # Errors
///
/// When something cannot be installed, fetched or built.
pub fn prepare(kernel: &str) -> Result<Parts> {
    let guest = prepare_guest(kernel)?;
    let image = place(&guest.store, &guest.kernel, &guest.image);
    if image.path.exists() {
        return Ok(Parts { guest, image });
    }
    let store = guest.store.clone();
    drop(guest);
    let packages = packages::fetch()?;
    {
        let _alone = store.lock(Access::Alone)?;
        provision::ensure(&store)?;
        let kernel = kernels::fetch(&store, kernels::row(kernel)?)?;
        let base = image::build(&store, &kernel)?;
        build(&store, &kernel, &base, &packages)?;
    }
    let guest = prepare_guest(kernel)?;
    let image = place(&guest.store, &guest.kernel, &guest.image);
    ensure!(image.path.exists(), "another process removed the image of the cluster; try again");
    Ok(Parts { guest, image })
}

fn place(store: &Store, kernel: &Kernel, base: &Image) -> Image {
    let mut key = Key::default();
    key.add(RECIPE).add(SCRIPTS).add(&base.key);
    let key = key.finish();
    Image { path: folder(store).join(format!("{}-{key}.cpio", kernel.name)), key }
}

fn folder(store: &Store) -> PathBuf {
    store.path("cluster/images")
}

/// One archive after the other: what the second has replaces what the first had.
fn build(store: &Store, kernel: &Kernel, base: &Image, packages: &Path) -> Result<()> {
    let image = place(store, kernel, base);
    if image.path.exists() {
        return Ok(());
    }
    let mut archive = Archive::default();
    programs(&mut archive, packages)?;
    for (name, script) in SCRIPTS {
        archive.file(&format!("usr/bin/{name}"), 0o755, script.into());
    }
    archive.folder("etc/corosync/uidgid.d", 0o755);
    let wanted: Vec<_> = image::MODULES.into_iter().chain(DRIVERS).collect();
    let mut order = String::new();
    for module in modules::resolve(&kernel.modules(), &wanted)? {
        let name = format!("{}.ko", module.name);
        order.push_str(&name);
        order.push('\n');
        archive.file(&format!("modules/{name}"), 0o644, module.content);
    }
    archive.file("modules/order", 0o644, order.into_bytes());
    let mut content = fs::read(&base.path)?;
    content.extend(archive.finish());

    let folder = folder(store);
    fs::create_dir_all(&folder)?;
    for old in fs::read_dir(&folder)? {
        let old = old?;
        if old.file_name().to_string_lossy().starts_with(&format!("{}-", kernel.name)) {
            fs::remove_file(old.path())?;
        }
    }
    let scratch = store.scratch("image")?;
    fs::write(&scratch, content)?;
    fs::rename(scratch, &image.path)?;
    Ok(())
}

fn programs(archive: &mut Archive, packages: &Path) -> Result<()> {
    let own = packages.join("usr/lib/x86_64-linux-gnu");
    // Debian 12 still has some libraries in /lib.
    let mut libraries = Libraries::new(vec![own, packages.join("lib/x86_64-linux-gnu")]);
    for name in PROGRAMS {
        let program = packages.join("usr/sbin").join(name);
        let content = fs::read(&program).with_context(|| format!("no {}", program.display()))?;
        libraries.add(&program)?;
        // The guest's /usr/sbin is a link to it.
        archive.file(&format!("usr/bin/{name}"), 0o755, content);
    }
    let sbin = packages.join("usr/sbin");
    for library in libraries.seen().filter(|path| !brings(path) && !path.starts_with(&sbin)) {
        let path = place_in_guest(packages, library);
        if !archive.contains(&path) {
            archive.file(&path, 0o755, fs::read(library)?);
        }
    }
    Ok(())
}
