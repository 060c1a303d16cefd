//! Reads the package sources that the machine has configured, to use the same mirrors.

use std::fs;
use std::path::Path;

/// Where packages come from when the machine does not say.
const FALLBACK: &str = "http://deb.debian.org/debian";
const KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
];

/// One configured source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Source {
    /// Mirrors.
    pub uris: Vec<String>,
    /// Suites, for example `bookworm`.
    pub suites: Vec<String>,
    /// Components, for example `main`.
    pub components: Vec<String>,
    /// Key file, or the key itself on continuation lines.
    pub signed_by: Option<String>,
}

/// Mirror and key of the Debian archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Archive {
    /// Mirror.
    pub uri: String,
    /// Value for `Signed-By`.
    pub signed_by: Option<String>,
}

impl Archive {
    /// A deb822 stanza for one suite of the archive.
    #[must_use]
    pub(super) fn stanza(&self, suite: &str) -> String {
        let mut text =
            format!("Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n", self.uri);
        if let Some(key) = &self.signed_by {
            text.push_str(&format!("Signed-By: {key}\n"));
        }
        text
    }
}

/// All binary sources of an `/etc/apt`.
#[must_use]
pub(super) fn configured(etc: &Path) -> Vec<Source> {
    let mut files = vec![etc.join("sources.list")];
    if let Ok(folder) = fs::read_dir(etc.join("sources.list.d")) {
        files.extend(folder.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let mut sources = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        match file.extension().and_then(|e| e.to_str()) {
            Some("list") => sources.extend(text.lines().filter_map(parse_line)),
            Some("sources") => sources.extend(parse_deb822(&text)),
            _ => {}
        }
    }
    sources
}

/// The archive that serves this release. Other vendors use Debian's suite names, too; the real
/// one is told by serving the updates of the release as well.
#[must_use]
pub(super) fn archive(sources: &[Source], codename: &str) -> Archive {
    let serves = |uri: &str, suite: &str| {
        sources.iter().any(|s| {
            s.uris.iter().any(|u| same(u, uri)) && s.suites.iter().any(|have| have == suite)
        })
    };
    let mut best: Option<(u32, Archive)> = None;
    for source in sources {
        let release = source.suites.iter().any(|s| s == codename || s == "stable");
        if !release || !source.components.iter().any(|c| c == "main") {
            continue;
        }
        for uri in source.uris.iter().filter(|uri| !uri.starts_with("cdrom:")) {
            let updates = serves(uri, &format!("{codename}-updates"))
                || serves(uri, "stable-updates")
                || serves(uri, &format!("{codename}-backports"));
            let rank = u32::from(updates) * 2 + u32::from(uri.contains("debian"));
            if best.as_ref().is_none_or(|(b, _)| rank > *b) {
                let found = Archive { uri: uri.clone(), signed_by: source.signed_by.clone() };
                best = Some((rank, found));
            }
        }
    }
    best.map(|(_, archive)| archive).unwrap_or_else(|| Archive {
        uri: FALLBACK.into(),
        signed_by: KEYRINGS.iter().find(|k| Path::new(k).exists()).map(|k| (*k).into()),
    })
}

/// Whether a suite of the archive is configured already; twice would be an error for apt when
/// the keys differ.
#[must_use]
pub(super) fn is_configured(sources: &[Source], archive: &Archive, suite: &str) -> bool {
    sources.iter().any(|s| {
        s.uris.iter().any(|u| same(u, &archive.uri)) && s.suites.iter().any(|have| have == suite)
    })
}

fn same(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

/// `deb [options] uri suite components...`
fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let mut rest = line.strip_prefix("deb").filter(|r| r.starts_with([' ', '\t', '[']))?.trim();
    let mut signed_by = None;
    if let Some(inner) = rest.strip_prefix('[') {
        let (options, after) = inner.split_once(']')?;
        for option in options.split_whitespace() {
            if let Some(("signed-by", value)) = option.split_once('=') {
                signed_by = Some(value.to_owned());
            }
        }
        rest = after.trim();
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    let (uri, suite) = (words.next()?, words.next()?);
    Some(Source { uris: vec![uri], suites: vec![suite], components: words.collect(), signed_by })
}

fn parse_deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            sources.extend(from_fields(&std::mem::take(&mut fields)));
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    sources
}

fn from_fields(fields: &[(String, String)]) -> Option<Source> {
    let value = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let words = |name: &str| -> Vec<String> {
        value(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    let off = value("enabled").is_some_and(|v| matches!(v, "no" | "false" | "off" | "0"));
    if off || !words("types").iter().any(|t| t == "deb") {
        return None;
    }
    Some(Source {
        uris: words("uris"),
        suites: words("suites"),
        components: words("components"),
        signed_by: value("signed-by").map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "Types: deb deb-src\n# comment\nURIs: http://mirror/debian\n\
        Suites: bookworm bookworm-updates\nComponents: main\nSigned-By:\n -----BEGIN\n .\n abc\n\n\
        Types: deb-src\nURIs: http://src/debian\nSuites: bookworm\nComponents: main\n\n\
        Enabled: no\nTypes: deb\nURIs: http://off/debian\nSuites: bookworm\nComponents: main\n";

    #[test]
    fn both_formats_are_read() {
        let sources = parse_deb822(DEB822);
        assert_eq!(sources.len(), 1);
        assert_eq!(sources[0].uris, ["http://mirror/debian"]);
        assert_eq!(sources[0].suites, ["bookworm", "bookworm-updates"]);
        assert_eq!(sources[0].signed_by.as_deref(), Some("\n -----BEGIN\n .\n abc"));

        let line =
            parse_line("deb [arch=amd64 signed-by=/k.gpg] http://m/debian trixie main x # c");
        let line = line.unwrap();
        assert_eq!(line.signed_by.as_deref(), Some("/k.gpg"));
        assert_eq!(
            (line.uris, line.suites),
            (vec!["http://m/debian".into()], vec!["trixie".into()])
        );
        assert_eq!(line.components, ["main", "x"]);
        assert_eq!(parse_line("deb-src http://m/debian trixie main"), None);
        assert_eq!(parse_line("# deb http://m/debian trixie main"), None);
    }

    #[test]
    fn the_archive_is_not_mistaken_for_another_vendor() {
        let lines = [
            "deb https://vendor.example/repo bookworm main",
            "deb http://m.example/debian-security bookworm-security main",
            "deb http://m.example/os bookworm main",
            "deb http://m.example/os/ bookworm-updates main",
        ];
        let sources: Vec<_> = lines.iter().filter_map(|l| parse_line(l)).collect();
        let archive = archive(&sources, "bookworm");
        assert_eq!(archive.uri, "http://m.example/os");
        assert!(is_configured(&sources, &archive, "bookworm-updates"));
        assert!(!is_configured(&sources, &archive, "bookworm-backports"));
    }

    #[test]
    fn without_sources_there_is_the_public_archive() {
        let archive = archive(&[], "bookworm");
        assert_eq!(archive.uri, FALLBACK);
        let stanza = archive.stanza("bullseye");
        assert_eq!(parse_deb822(&stanza)[0].suites, ["bullseye"]);
    }
}
