//! A tree of files to be installed, in the making.

use anyhow::{Context, Result};
use std::fmt;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use dlm_lab::vm::store::remove_all;

/// What was put somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file of so many bytes.
    Bytes(u64),
    /// A symbolic link to this.
    Link(PathBuf),
}

/// One place in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Its path, from the root of the tree.
    pub path: PathBuf,
    /// What is there.
    pub content: Content,
}

/// The tree. What is put in is readable for everybody, whatever the umask is.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    placed: Vec<Placed>,
}

impl Tree {
    /// An empty tree, in place of what was in the folder.
    ///
    /// # Errors
    ///
    /// When the folder cannot be removed or made.
    pub fn begin(root: &Path) -> Result<Self> {
        remove_all(root)?;
        fs::create_dir_all(root).with_context(|| format!("cannot create {}", root.display()))?;
        Ok(Self { root: root.to_owned(), placed: Vec::new() })
    }

    /// Puts a copy of a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read or written.
    pub fn copy(&mut self, from: &Path, to: impl AsRef<Path>) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        let executable = fs::metadata(from)?.permissions().mode() & 0o100 != 0;
        self.put(to.as_ref(), &content, if executable { 0o755 } else { 0o644 })
    }

    /// Puts a text.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&mut self, text: &str, to: impl AsRef<Path>) -> Result<()> {
        self.put(to.as_ref(), text.as_bytes(), 0o644)
    }

    /// Puts a symbolic link.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn link(&mut self, target: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let path = self.prepare(to.as_ref())?;
        let target = target.as_ref();
        symlink(target, &path).with_context(|| format!("cannot link {}", path.display()))?;
        let content = Content::Link(target.to_owned());
        self.placed.push(Placed { path: to.as_ref().to_owned(), content });
        Ok(())
    }

    /// What was put, in the order of the paths.
    #[must_use]
    pub fn finish(mut self) -> Vec<Placed> {
        self.placed.sort_by(|a, b| a.path.cmp(&b.path));
        self.placed
    }

    fn put(&mut self, to: &Path, content: &[u8], mode: u32) -> Result<()> {
        let path = self.prepare(to)?;
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        let content = Content::Bytes(fs::metadata(&path)?.len());
        self.placed.push(Placed { path: to.to_owned(), content });
        Ok(())
    }

    /// The path of a place, whose folders are there then.
    fn prepare(&self, to: &Path) -> Result<PathBuf> {
        let mut folder = self.root.clone();
        for part in to.parent().into_iter().flat_map(Path::components) {
            folder.push(part);
            if !folder.is_dir() {
                fs::create_dir(&folder)
                    .with_context(|| format!("cannot create {}", folder.display()))?;
                fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
            }
        }
        Ok(self.root.join(to))
    }
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.content {
            Content::Bytes(bytes) => write!(f, "{bytes:>10}  {path}"),
            Content::Link(target) => write!(f, "{:>10}  {path} -> {}", "", target.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::absolute;

    #[test]
    fn a_tree_replaces_what_was_there_and_tells_what_is() {
        let root = std::env::temp_dir().join(format!("xtask-tree-{}", std::process::id()));
        fs::create_dir_all(root.join("old")).unwrap();
        let mut tree = Tree::begin(&root).unwrap();
        tree.write("four", "share/b").unwrap();
        tree.link("b", "share/c").unwrap();
        tree.copy(&absolute(root.join("share/b")).unwrap(), "a").unwrap();
        let shown: Vec<_> = tree.finish().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["         4  a", "         4  share/b", "            share/c -> b"]);
        assert!(!root.join("old").exists());
        assert_eq!(fs::read_to_string(root.join("share/c")).unwrap(), "four");
        let mode = fs::metadata(root.join("share/b")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        fs::remove_dir_all(root).unwrap();
    }
}
