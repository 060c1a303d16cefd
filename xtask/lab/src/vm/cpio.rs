//! Writes the archive that the kernel unpacks into its first root folder ("newc" format).

use std::collections::BTreeMap;

/// Files of an archive, by path without leading slash. Sorted, so that folders come before what
/// is in them.
#[derive(Debug, Default)]
pub struct Archive {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    mode: u32,
    content: Vec<u8>,
    device: (u32, u32),
}

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

impl Archive {
    /// Adds a folder and those above it.
    pub fn folder(&mut self, path: &str, mode: u32) {
        self.put(path, FOLDER | mode, Vec::new(), (0, 0));
    }

    /// Adds a file and the folders above it.
    pub fn file(&mut self, path: &str, mode: u32, content: Vec<u8>) {
        self.put(path, FILE | mode, content, (0, 0));
    }

    /// Adds a symbolic link and the folders above it.
    pub fn link(&mut self, path: &str, target: &str) {
        self.put(path, LINK | 0o777, target.as_bytes().to_vec(), (0, 0));
    }

    /// Adds a character device and the folders above it.
    pub fn character_device(&mut self, path: &str, mode: u32, device: (u32, u32)) {
        self.put(path, CHARACTER_DEVICE | mode, Vec::new(), device);
    }

    /// Whether there is an entry of this path.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.entries.contains_key(path.trim_matches('/'))
    }

    fn put(&mut self, path: &str, mode: u32, content: Vec<u8>, device: (u32, u32)) {
        let path = path.trim_matches('/');
        for (at, _) in path.match_indices('/') {
            let above = path.get(..at).unwrap_or_default().to_owned();
            self.entries.entry(above).or_insert_with(|| Entry {
                mode: FOLDER | 0o755,
                content: Vec::new(),
                device: (0, 0),
            });
        }
        self.entries.insert(path.to_owned(), Entry { mode, content, device });
    }

    /// The bytes of the archive.
    #[must_use]
    pub fn finish(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (inode, (path, entry)) in (1..).zip(&self.entries) {
            append(&mut out, inode, path, entry);
        }
        let end = Entry { mode: 0, content: Vec::new(), device: (0, 0) };
        append(&mut out, 0, "TRAILER!!!", &end);
        out
    }
}

fn append(out: &mut Vec<u8>, inode: u32, path: &str, entry: &Entry) {
    let links = if entry.mode & FOLDER == FOLDER { 2 } else { 1 };
    let (major, minor) = entry.device;
    // Magic, then: inode, mode, uid, gid, links, time, size, device, device it is, name, check.
    out.extend_from_slice(b"070701");
    let (size, name) = (entry.content.len(), path.len() + 1);
    for field in [inode, entry.mode, 0, 0, links, 0] {
        out.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    out.extend_from_slice(format!("{size:08x}{:08x}{:08x}", 0, 0).as_bytes());
    out.extend_from_slice(format!("{major:08x}{minor:08x}{name:08x}{:08x}", 0).as_bytes());
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    pad(out);
    out.extend_from_slice(&entry.content);
    pad(out);
}

/// Headers and contents begin at multiples of four.
fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_newc() {
        let mut archive = Archive::default();
        archive.file("/a/bc", 0o644, b"hello".to_vec());
        archive.character_device("a/con", 0o600, (5, 1));
        assert!(archive.contains("a") && archive.contains("/a/bc") && !archive.contains("b"));
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        let headers: Vec<_> = text.match_indices("070701").map(|(at, _)| at).collect();
        assert_eq!(headers.len(), 4);
        // The folder was not added by hand and comes first.
        assert_eq!(&text[headers[0] + 14..headers[0] + 22], "000041ed");
        assert_eq!(&text[headers[0] + 110..headers[0] + 112], "a\0");
        // File: mode, size, name length; the name ends at 110 + 5, its content begins aligned.
        let file = headers[1];
        assert_eq!(&text[file + 14..file + 22], "000081a4");
        assert_eq!(&text[file + 54..file + 62], "00000005");
        assert_eq!(&text[file + 94..file + 102], "00000005");
        assert_eq!(&text[file + 116..file + 121], "hello");
        assert_eq!(headers[2], file + 124);
        let device = headers[2];
        assert_eq!(&text[device + 78..device + 94], "0000000500000001");
        assert!(text[headers[3]..].contains("TRAILER!!!\0"));
    }
}
