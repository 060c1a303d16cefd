//! Our header against that of libdlm-dev.

use dlm_lab::vm::unpacked;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::functions::{COMMON, THREADED};
use crate::{failure, fetched, folder, output};

const FACTS: &str = include_str!("facts.h");

/// How a program is compiled.
#[derive(Debug, Clone, Copy)]
struct Setting {
    compiler: &'static str,
    standard: &'static str,
    suffix: &'static str,
    reentrant: bool,
}

fn settings() -> [Setting; 4] {
    let c = Setting { compiler: "cc", standard: "gnu11", suffix: "c", reentrant: false };
    let cpp = Setting { compiler: "c++", standard: "gnu++17", suffix: "cc", reentrant: false };
    [c, Setting { reentrant: true, ..c }, cpp, Setting { reentrant: true, ..cpp }]
}

impl Setting {
    /// The compiler on a text, which it gets from a file.
    fn command(&self, folder: &Path, text: &str) -> Command {
        let source = folder.join(format!("program.{}", self.suffix));
        fs::write(&source, text).unwrap();
        let mut command = Command::new(self.compiler);
        command.arg(format!("-std={}", self.standard));
        command.args(["-Wall", "-Wextra", "-Werror"]);
        command.args(self.reentrant.then_some("-D_REENTRANT"));
        command.arg(source);
        command
    }
}

/// The folder of our header.
fn ours() -> PathBuf {
    xtask::dist::sources().join("include")
}

/// Names that a header defines, without that of its guard.
fn constants(include: &Path, setting: &Setting, work: &Path) -> BTreeSet<String> {
    let defined = |text: &str| -> BTreeSet<String> {
        let mut command = setting.command(work, text);
        let text = output(command.args(["-E", "-dM", "-I"]).arg(include));
        let name = |line: &str| Some(line.strip_prefix("#define ")?.split(' ').next()?.to_owned());
        text.lines().filter_map(name).collect()
    };
    let before = defined("#include <stdint.h>\n#include <sys/types.h>\n");
    let after = defined("#include <stdint.h>\n#include <sys/types.h>\n#include <libdlm.h>\n");
    let guard = "__LIBDLM_H".to_owned();
    after.difference(&before).filter(|&name| *name != guard).cloned().collect()
}

/// What a header says, by what it says it of.
fn facts(include: &Path, setting: &Setting, work: &Path) -> BTreeMap<String, String> {
    let mut text = format!("{FACTS}\nint main(void)\n{{\n\tstruct dlm_lksb lksb = {{}};\n");
    for name in constants(include, setting, work) {
        writeln!(text, "\tCONSTANT({name})").unwrap();
    }
    for name in ["struct dlm_lksb", "dlm_lshandle_t", "struct aligned"] {
        writeln!(text, "\tSIZE({name})").unwrap();
    }
    for name in ["sb_status", "sb_lkid", "sb_flags", "sb_lvbptr"] {
        writeln!(text, "\tFIELD({name})").unwrap();
    }
    for name in COMMON.iter().chain(setting.reentrant.then_some(&THREADED).into_iter().flatten()) {
        writeln!(text, "\tFUNCTION({name})").unwrap();
    }
    text.push_str("\treturn 0;\n}\n");
    let program = work.join("program");
    output(setting.command(work, &text).arg("-I").arg(include).arg("-o").arg(&program));
    let pair = |line: &str| {
        let (what, value) = line.split_once(" = ").unwrap();
        (what.to_owned(), value.to_owned())
    };
    output(&mut Command::new(program)).lines().map(pair).collect()
}

/// A program with both headers, whose compiler compares the types of all functions.
fn together(a: &Path, b: &Path, setting: &Setting, work: &Path) -> Command {
    let (a, b) = (a.join("libdlm.h"), b.join("libdlm.h"));
    let (a, b) = (a.display(), b.display());
    let text = format!(
        "#include <sys/types.h>\n\
        #ifdef __cplusplus\nextern \"C\" {{\n#endif\n\
        #include \"{a}\"\n#undef __LIBDLM_H\n\
        /* The structs are there already. */\n#define BUILDING_LIBDLM\n\
        #include \"{b}\"\n\
        #ifdef __cplusplus\n}}\n#endif\n"
    );
    let mut command = setting.command(work, &text);
    command.arg("-fsyntax-only");
    command
}

/// Whether everything that can be compared is equal.
fn equal(a: &Path, b: &Path, setting: &Setting, work: &Path) -> bool {
    let compiles = |command: &mut Command| command.output().unwrap().status.success();
    compiles(&mut together(a, b, setting, work))
        && facts(a, setting, work) == facts(b, setting, work)
}

#[test]
fn it_says_what_debians_says() {
    let Some(root) = fetched("libdlm-dev", unpacked::libdlm()) else { return };
    let debian = root.join("usr/include");
    let work = folder("header");
    for setting in settings() {
        output(&mut together(&debian, &ours(), &setting, &work));
        let facts = [facts(&debian, &setting, &work), facts(&ours(), &setting, &work)];
        assert_eq!(facts[0], facts[1], "{setting:?}");
        // 38 constants, 3 sizes, 4 fields, and the functions.
        let functions = if setting.reentrant { 26 } else { 21 };
        assert_eq!(facts[1].len(), 38 + 3 + 4 + functions, "{setting:?}");
    }
}

#[test]
fn a_header_that_differs_is_noticed() {
    let text = fs::read_to_string(ours().join("libdlm.h")).unwrap();
    let work = folder("header-that-differs");
    for (from, to) in [
        ("LKF_ORPHAN          0x00004000", "LKF_ORPHAN          0x00008000"),
        ("ECANCEL             0x10001", "ECANCEL             0x10001L"),
        ("#define LKM_PWMODE", "#define LKM_PUMODE"),
        ("#define DLM_LVB_LEN", "#define LKF_MORE 1\n#define DLM_LVB_LEN"),
        ("\tchar sb_flags;", "\tint sb_flags;"),
        ("\tint sb_status;", "\tunsigned int sb_status;"),
        (
            "dlm_ls_purge(dlm_lshandle_t handle, int nodeid",
            "dlm_ls_purge(void *handle, long nodeid",
        ),
        ("uint64_t *timeout);", "uint32_t *timeout);"),
        ("extern void dlm_library_version", "extern int dlm_library_version"),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(work.join("libdlm.h"), text.replace(from, to)).unwrap();
        for setting in settings() {
            assert!(!equal(&ours(), &work, &setting, &work), "{to} {setting:?}");
        }
    }
    fs::write(work.join("libdlm.h"), text).unwrap();
    for setting in settings() {
        assert!(equal(&ours(), &work, &setting, &work), "{setting:?}");
    }
}

#[test]
fn it_needs_no_other_header_and_no_new_language() {
    let work = folder("header-alone");
    for (compiler, suffix, standards) in [
        ("cc", "c", &["c89", "c99", "c11", "c17", "gnu89"][..]),
        ("c++", "cc", &["c++98", "c++11", "c++20"]),
    ] {
        for standard in standards {
            for reentrant in [false, true] {
                let setting = Setting { compiler, standard, suffix, reentrant };
                for before in ["", "#include <linux/dlmconstants.h>\n", "#include <linux/dlm.h>\n"]
                {
                    let text =
                        format!("{before}#include <libdlm.h>\nint main(void) {{ return 0; }}\n");
                    let mut command = setting.command(&work, &text);
                    command.args(["-pedantic", "-fsyntax-only", "-I"]).arg(ours());
                    // The kernel's own headers are taken as they are.
                    output(command.args(["-isystem", "/usr/include"]));
                }
            }
        }
    }
}

#[test]
fn the_functions_of_the_threaded_library_are_declared_for_it_only() {
    let work = folder("header-threaded");
    let text = "#include <libdlm.h>\n\
        static int lock_resource(void) { return 0; }\n\
        int main(void) { return lock_resource(); }\n";
    let [c, threaded, ..] = settings();
    output(c.command(&work, text).args(["-fsyntax-only", "-I"]).arg(ours()));
    let error = failure(threaded.command(&work, text).args(["-fsyntax-only", "-I"]).arg(ours()));
    assert!(error.contains("conflicting types"), "{error}");
}
