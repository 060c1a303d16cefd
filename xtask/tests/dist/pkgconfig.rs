//! The files for pkg-config.

use dlm_lab::vm::apt::find_program;
use std::path::Path;
use std::process::Command;
use xtask::dist::{lay, tree::Tree};

use crate::{folder, output};

/// What pkg-config says of a library in a tree.
fn ask(root: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("pkg-config");
    command.args(arguments);
    // Only what is in the tree counts.
    command.env_remove("PKG_CONFIG_PATH").env("PKG_CONFIG_LIBDIR", root.join("lib/pkgconfig"));
    output(&mut command).trim().to_owned()
}

#[test]
fn each_library_is_linked_by_its_own_name_wherever_the_tree_is() {
    if find_program("pkg-config").is_none() {
        println!("SKIPPED: no pkg-config");
        return;
    }
    let (first, second) = (folder("pkgconfig"), folder("pkgconfig moved").join("to"));
    lay(&mut Tree::begin(&first).unwrap()).unwrap();
    std::fs::rename(&first, &second).unwrap();
    let second = folder_without_blank(&second);
    for (name, flags) in [("libdlm", "-pthread"), ("libdlm_lt", "")] {
        let library = name.replacen("lib", "-l", 1);
        let words = |option| ask(&second, &[option, name]);
        assert!(words("--libs").ends_with(&library), "{}", words("--libs"));
        assert_eq!(words("--cflags-only-other"), flags);
        for (option, prefix, inside) in
            [("--libs-only-L", "-L", "lib/libdlm.h"), ("--cflags-only-I", "-I", "libdlm.h")]
        {
            let folder = words(option);
            let folder = Path::new(folder.strip_prefix(prefix).unwrap());
            assert!(folder.is_dir(), "{}", folder.display());
            assert_eq!(folder.join(inside).exists(), option == "--cflags-only-I");
            assert!(folder.canonicalize().unwrap().starts_with(second.canonicalize().unwrap()));
        }
        let moved = ask(&second, &["--define-variable=prefix=/opt/x", "--cflags", "--libs", name]);
        assert!(moved.contains("-I/opt/x/include") && moved.contains("-L/opt/x/lib"), "{moved}");
        assert_eq!(ask(&second, &["--atleast-version=4.0.0", name]), "");
        // Not -pthread, with which the header declares what libdlm_lt has not.
        let fixed = ask(&second, &["--static", "--libs", name]);
        assert!(fixed.contains("-lpthread") && !fixed.contains("-pthread"), "{fixed}");
    }
}

/// The same folder by a name without blanks, as pkg-config escapes them.
fn folder_without_blank(path: &Path) -> std::path::PathBuf {
    let link = folder("pkgconfig-link").join("tree");
    std::os::unix::fs::symlink(path, &link).unwrap();
    link
}
