//! Manual pages: what they are about, and the programs in them.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// A manual page of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its file.
    pub path: PathBuf,
    /// Its own name, that of the file without the section.
    pub name: String,
    /// Everything that the page is about, itself among it or not.
    pub about: Vec<String>,
    /// Its text.
    pub text: String,
}

/// The pages of section 3 in a folder, in the order of their names.
///
/// # Errors
///
/// When one cannot be read.
pub fn pages(folder: &Path) -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|section| section != "3") {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        pages.push(Page { about: about(&text), path, name, text });
    }
    pages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pages)
}

impl Page {
    /// Names under which the page is to be found, beside its own.
    pub fn others(&self) -> impl Iterator<Item = &str> {
        self.about.iter().map(String::as_str).filter(|&name| name != self.name)
    }

    /// Other pages it points to, with their sections.
    #[must_use]
    pub fn references(&self) -> Vec<(String, String)> {
        let pair = |line: &str| {
            let mut words = line.strip_prefix(".Xr ")?.split(' ');
            Some((words.next()?.to_owned(), words.next()?.to_owned()))
        };
        let words = |line: &str| {
            // Within another macro: "Pq Xr umask 2".
            line.find("Xr ").and_then(|at| pair(&format!(".{}", line.get(at..)?)))
        };
        self.text.lines().filter(|line| line.starts_with('.')).filter_map(words).collect()
    }

    /// The programs in its section EXAMPLES, as a compiler wants them.
    #[must_use]
    pub fn programs(&self) -> Vec<String> {
        let section = section(&self.text, "EXAMPLES");
        let mut programs = Vec::new();
        let mut current: Option<String> = None;
        for line in section {
            if line.starts_with(".Bd -literal") {
                current = Some(String::new());
            } else if line == ".Ed" {
                programs.extend(current.take());
            } else if let Some(program) = &mut current {
                program.push_str(&plain(line));
                program.push('\n');
            }
        }
        programs.retain(|program| program.contains("int main("));
        programs
    }
}

/// What the section NAME of a page names.
fn about(text: &str) -> Vec<String> {
    let name = |line: &str| {
        let words = line.strip_prefix(".Nm ")?;
        Some(words.trim_end_matches(" ,").to_owned())
    };
    section(text, "NAME").filter_map(name).collect()
}

/// The lines of a section.
fn section<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let title = format!(".Sh {name}");
    text.lines()
        .skip_while(move |line| *line != title)
        .skip(1)
        .take_while(|line| !line.starts_with(".Sh "))
}

/// A line of literal text without what roff wants.
fn plain(line: &str) -> String {
    line.replace("\\&", "").replace("\\-", "-").replace("\\e", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#".Dt B 3
.Sh NAME
.Nm b ,
.Nm c
.Nd things
.Sh DESCRIPTION
.Nm not_this
.Pq Xr umask 2 ,
.Xr c 3
.Sh EXAMPLES
Text.
.Bd -literal -offset indent
int main(void)
{
	puts("\en");
.\&
.Ed
.Bd -literal
cc no program
.Ed
.Sh SEE ALSO
"#;

    fn page() -> Page {
        Page { path: "b.3".into(), name: "b".into(), about: about(PAGE), text: PAGE.into() }
    }

    #[test]
    fn a_page_is_found_under_all_its_names() {
        let page = page();
        assert_eq!(page.about, ["b", "c"]);
        assert_eq!(page.others().collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn references_are_found_within_other_macros() {
        let wanted = [("umask", "2"), ("c", "3")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(page().references(), wanted);
    }

    #[test]
    fn programs_come_without_escapes_and_commands_not_at_all() {
        let program = "int main(void)\n{\n\tputs(\"\\n\");\n.\n";
        assert_eq!(page().programs(), [program]);
    }
}
