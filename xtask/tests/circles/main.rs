//! Circles of files that need each other, in the crates whose files are layers.
//!
//! A file needs another one if it names something of it, in a `use` or a path, or calls a method of a
//! type whose `impl` blocks are spread over files: on `self`, on a name like the type's, or by path.
//! Schedules and tests do not count.

#![allow(clippy::unwrap_used, reason = "tests")]

mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};

use self::tokens::{close, tokens};

/// The crates, and the most files that may need each other there.
const LAYERED: [&str; 4] =
    ["dlm-proto/src", "dlm-runtime/src", "dlm-runtime/core/src", "dlm-runtime/capi/src"];
const MOST: usize = 3;

/// The circles that are too large, each as a line that names its files and what leads around it.
///
/// # Errors
///
/// A file that cannot be read.
fn large(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in LAYERED {
        let files = Files::read(&root.join(folder)).with_context(|| folder.to_owned())?;
        let needs = files.needs();
        let large = circles(&needs).into_iter().filter(|circle| circle.len() > MOST);
        found.extend(large.map(|circle| format!("{folder}: {}", shown(&circle, &needs))));
    }
    Ok(found)
}

/// The path of a module in its crate.
type Module = Vec<String>;

/// What each module needs: of which other one, and why.
type Needs = BTreeMap<Module, BTreeMap<Module, String>>;

/// The modules of a crate that have a file of their own, in tokens.
#[derive(Debug, Default)]
struct Files(BTreeMap<Module, Vec<String>>);

impl Files {
    fn read(folder: &Path) -> Result<Self> {
        let mut files = Self::default();
        let mut folders = vec![(folder.to_owned(), Module::new())];
        while let Some((folder, module)) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                if name == "model" || name == "tests" || name.starts_with("test_") {
                    continue;
                }
                let mut inner = module.clone();
                if name != "mod" && name != "lib" {
                    inner.push(name);
                }
                if path.is_dir() {
                    folders.push((path, inner));
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    files.add(inner, &text(&path)?);
                }
            }
        }
        Ok(files)
    }

    fn add(&mut self, module: Module, text: &str) {
        self.0.insert(module, without_tests(&tokens(text)));
    }

    /// The file of what a path from the root names.
    fn resolve(&self, path: &[String]) -> Option<Module> {
        // Schedules have twins of some modules, which need what they stand for.
        if path.first().is_some_and(|first| first == "model") {
            return None;
        }
        let prefix = |len| path.get(..len).filter(|prefix| self.0.contains_key(*prefix));
        (0..=path.len()).rev().find_map(prefix).map(<[String]>::to_vec)
    }

    /// The file of what a path in a module names, if it is one of this crate.
    fn named(&self, module: &Module, path: &[String]) -> Option<Module> {
        let supers = path.iter().take_while(|part| *part == "super").count();
        let (base, rest): (&[String], _) = match path.first()?.as_str() {
            "crate" => (&[], path.get(1..)?),
            "self" => (module, path.get(1..)?),
            "super" => (module.get(..module.len().checked_sub(supers)?)?, path.get(supers..)?),
            first => {
                let child = [module.as_slice(), &[first.to_owned()]].concat();
                self.0.contains_key(&child).then_some(())?;
                (module, path)
            }
        };
        self.resolve(&[base, rest].concat())
    }

    fn needs(&self) -> Needs {
        let methods = Methods::of(self);
        let mut needs = Needs::new();
        for (module, tokens) in &self.0 {
            let theirs: &mut BTreeMap<_, _> = needs.entry(module.clone()).or_default();
            let paths = paths(tokens)
                .into_iter()
                .filter_map(|path| Some((self.named(module, &path)?, path.join("::"))));
            for (other, why) in paths.chain(methods.called(tokens)) {
                if other != *module {
                    theirs.entry(other).or_insert(why);
                }
            }
        }
        needs
    }
}

fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// The tokens without items that only tests have.
fn without_tests(all: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut at = 0;
    while let Some(token) = all.get(at) {
        if all.get(at..at + 7).is_some_and(|of| of == ["#", "[", "cfg", "(", "test", ")", "]"]) {
            at += 7;
            while all.get(at).is_some_and(|token| token != "{" && token != ";") {
                at += 1;
            }
            at = close(all, at) + 1;
            continue;
        }
        kept.push(token.clone());
        at += 1;
    }
    kept
}

/// The paths that are named: those of `use`, and all others that have more than one part.
fn paths(tokens: &[String]) -> Vec<Module> {
    let mut paths = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if token == "use" {
            at = used(tokens, at + 1, &Module::new(), &mut paths);
            continue;
        }
        let mut path = Module::new();
        if is_name(token)
            && !at
                .checked_sub(1)
                .is_some_and(|at| tokens.get(at).is_some_and(|it| it == "::" || it == "."))
        {
            path.push(token.clone());
            while let (Some("::"), Some(next)) = (get(tokens, at + 1), tokens.get(at + 2)) {
                if !is_name(next) {
                    break;
                }
                path.push(next.clone());
                at += 2;
            }
        }
        if path.len() > 1 {
            paths.push(path);
        }
        at += 1;
    }
    paths
}

/// Takes in a tree of a `use`. Returns where it ends.
fn used(tokens: &[String], mut at: usize, prefix: &Module, paths: &mut Vec<Module>) -> usize {
    let mut path = prefix.clone();
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "{" => {
                let end = close(tokens, at);
                at += 1;
                while at < end {
                    at = used(tokens, at, &path, paths);
                }
                return end + 1;
            }
            "," | ";" | "}" => break,
            "as" => at += 1,
            "::" => {}
            name => path.push(name.to_owned()),
        }
        at += 1;
    }
    if path.len() > prefix.len() {
        paths.push(path);
    }
    at + 1
}

/// The methods of types whose `impl` blocks are in several files, and where they are.
#[derive(Debug, Default)]
struct Methods(BTreeMap<String, BTreeMap<String, BTreeSet<Module>>>);

impl Methods {
    fn of(files: &Files) -> Self {
        let mut types = BTreeMap::<String, BTreeMap<String, BTreeSet<Module>>>::new();
        for (module, tokens) in &files.0 {
            for block in impls(tokens).into_iter().filter(|block| !block.is_of_trait) {
                let methods = types.entry(block.of.clone()).or_default();
                let body = tokens.get(block.from..block.to).unwrap_or_default();
                for pair in body.windows(2) {
                    if let [keyword, name] = pair {
                        if keyword == "fn" {
                            methods.entry(name.clone()).or_default().insert(module.clone());
                        }
                    }
                }
            }
        }
        types.retain(|_, methods| methods.values().flatten().collect::<BTreeSet<_>>().len() > 1);
        Self(types)
    }

    /// The modules whose methods are called, and the calls.
    fn called(&self, tokens: &[String]) -> Vec<(Module, String)> {
        let impls = impls(tokens);
        let mut called = Vec::new();
        for at in 1..tokens.len() {
            let (Some(dot), Some(name)) = (get(tokens, at - 1), tokens.get(at)) else { continue };
            if dot != "." && dot != "::" {
                continue;
            }
            let is_field = dot == "." && !matches!(get(tokens, at + 1), Some("(" | "::"));
            if is_field {
                continue;
            }
            let receiver = receiver(tokens, at - 1);
            let own = impls.iter().find(|block| (block.from..block.to).contains(&at));
            for (of, methods) in &self.0 {
                let is_own = own.is_some_and(|block| block.of == *of);
                let is_it = match receiver {
                    "self" | "Self" => is_own,
                    receiver => receiver == of || dot == "." && receiver == snake(of),
                };
                let modules = methods.get(name).filter(|modules| is_it && modules.len() == 1);
                let call = |module: &Module| (module.clone(), format!("{of}::{name}"));
                called.extend(modules.into_iter().flatten().map(call));
            }
        }
        called
    }
}

/// What a method is called on, or the type before `::`: a field, a name, or a call without arguments.
fn receiver(tokens: &[String], dot: usize) -> &str {
    let mut at = dot;
    if at >= 2 && get(tokens, at - 1) == Some(")") && get(tokens, at - 2) == Some("(") {
        at -= 2;
    }
    at.checked_sub(1).and_then(|at| get(tokens, at)).unwrap_or_default()
}

/// An `impl` block: of which type, and where its body is.
struct Impl {
    of: String,
    is_of_trait: bool,
    from: usize,
    to: usize,
}

fn impls(tokens: &[String]) -> Vec<Impl> {
    let mut impls = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        // Not that of a type, `impl Trait`.
        let is_item = at
            .checked_sub(1)
            .is_none_or(|at| matches!(get(tokens, at), Some("}" | ";" | "]" | "unsafe" | "{")));
        if token == "impl" && is_item {
            let (mut of, mut is_of_trait, mut is_bound) = (String::new(), false, false);
            let mut depth = 0_usize;
            at += 1;
            while let Some(token) = tokens.get(at).filter(|token| *token != "{") {
                match token.as_str() {
                    "<" => depth += 1,
                    ">" if get(tokens, at - 1) != Some("-") => depth = depth.saturating_sub(1),
                    "for" if depth == 0 => is_of_trait = true,
                    "where" => is_bound = true,
                    name if depth == 0 && !is_bound && is_name(name) => of = name.to_owned(),
                    _ => {}
                }
                at += 1;
            }
            let to = close(tokens, at);
            impls.push(Impl { of, is_of_trait, from: at, to });
        }
        at += 1;
    }
    impls
}

fn get(tokens: &[String], at: usize) -> Option<&str> {
    tokens.get(at).map(String::as_str)
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The name that a value of a type has, as a rule.
fn snake(of: &str) -> String {
    let mut name = String::new();
    for letter in of.chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// The sets of modules of which each needs each other, around some corners, the largest first.
fn circles(needs: &Needs) -> Vec<Vec<Module>> {
    let reached = |from: &Module| {
        let mut reached = BTreeSet::new();
        let mut ways = vec![from.clone()];
        while let Some(next) = ways.pop() {
            for other in needs.get(&next).into_iter().flat_map(BTreeMap::keys) {
                if reached.insert(other.clone()) {
                    ways.push(other.clone());
                }
            }
        }
        reached
    };
    let reached: BTreeMap<_, _> = needs.keys().map(|module| (module, reached(module))).collect();
    let is_reached =
        |from: &Module, to: &Module| reached.get(from).is_some_and(|reached| reached.contains(to));
    let mut circles = BTreeSet::new();
    for module in needs.keys() {
        let those =
            needs.keys().filter(|other| is_reached(module, other) && is_reached(other, module));
        circles.insert(those.cloned().collect::<Vec<_>>());
    }
    let mut circles: Vec<_> = circles.into_iter().filter(|circle| circle.len() > 1).collect();
    circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    circles
}

fn shown(circle: &[Module], needs: &Needs) -> String {
    let name =
        |module: &Module| if module.is_empty() { "lib".to_owned() } else { module.join("::") };
    let names = circle.iter().map(name).collect::<Vec<_>>().join(", ");
    let mut shown = format!("{} files need each other: {names}", circle.len());
    for module in circle {
        let theirs = needs.get(module).into_iter().flatten();
        for (other, why) in theirs.filter(|(other, _)| circle.contains(other)) {
            shown += &format!("\n    {} needs {} ({why})", name(module), name(other));
        }
    }
    shown
}

fn files(files: &[(&str, &str)]) -> Files {
    let mut read = Files::default();
    for (module, text) in files {
        let module = module.split("::").filter(|part| !part.is_empty());
        read.add(module.map(ToOwned::to_owned).collect(), text);
    }
    read
}

/// The largest circle.
fn largest(all: &[(&str, &str)]) -> Vec<String> {
    let first = circles(&files(all).needs()).into_iter().next();
    first.unwrap_or_default().into_iter().map(|module| module.join("::")).collect()
}

#[test]
fn no_more_than_three_files_need_each_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    assert_eq!(large(root).unwrap().join("\n"), "");
    // The check sees what it is for.
    let files = Files::read(&root.join("dlm-runtime/src")).unwrap();
    let needs = files.needs();
    let does_need = |from: &str, to: &str| {
        let [from, to] = [from, to].map(|name| name.split("::").map(ToOwned::to_owned).collect());
        let from: &Module = &from;
        let to: &Module = &to;
        needs.get(from).is_some_and(|needs| needs.contains_key(to))
    };
    assert!(does_need("request", "driver::call") && does_need("driver::wait", "driver::read"));
    assert!(!does_need("driver::read", "driver::wait"));
}

#[test]
fn circles_are_found_in_uses_paths_and_methods() {
    let end = ("c", "use std::fmt; pub(crate) struct C;");
    assert_eq!(
        largest(&[("a", "use crate::b::{self, B as Other};"), ("b", "use super::c::C;"), end]),
        [""; 0]
    );
    let uses = [("a", "use crate::{x, b::B};"), ("b", "use super::a::{c::{d}, A};")];
    assert_eq!(largest(&uses), ["a", "b"]);
    let paths = [("a", "fn a() -> crate::b::B { loop {} }"), ("b", "use crate::a;")];
    assert_eq!(largest(&paths), ["a", "b"]);
    // By what the root or a folder passes on.
    let passed_on = [("", "mod a; pub use a::A;"), ("a", "type A = crate::A;")];
    assert_eq!(largest(&passed_on), ["", "a"]);
    let below = [("a", "pub use self::b::B;"), ("a::b", "use super::B;")];
    assert_eq!(largest(&below), ["a", "a::b"]);
    let methods = [
        ("base", "pub(crate) struct Door;"),
        ("a", "impl<T: Fn() -> U, U> Door<T> where U: Send { fn open(&self) { self.shut() } }"),
        ("b", "impl Door<u8> { fn shut(&self) {} fn slam(door: &Door<u8>) { door.open() } }"),
    ];
    assert_eq!(largest(&methods), ["a", "b"]);
}

#[test]
fn what_only_looks_like_a_circle_is_none() {
    let tests =
        [("a", "use crate::b;"), ("b", "#[cfg(test)] mod tests { use crate::a::A; } fn f() {}")];
    assert_eq!(largest(&tests), [""; 0]);
    let words = [("a", "use crate::b;"), ("b", "// crate::a::A\nconst B: &str = \"crate::a::A\";")];
    assert_eq!(largest(&words), [""; 0]);
    // A method of that name of another type.
    let methods = [
        ("a", "use crate::b; impl Door { fn open(&self) {} }"),
        (
            "b",
            "impl Door { fn shut(&self) {} } impl Box { fn f(&self, core: &C) { self.open(); core.open() } }",
        ),
    ];
    assert_eq!(largest(&methods), [""; 0]);
}
