//! The file of results, written after each reading: what is measured late may fail.

use anyhow::{Context, Result};
use serde_json::Value;
use std::path::PathBuf;

use dlm_lab::vm::store::workspace_root;

/// The results so far, and the file that has them.
#[derive(Debug)]
pub(super) struct ResultFile {
    path: PathBuf,
    rows: Vec<Value>,
}

impl ResultFile {
    /// Begins the file anew.
    pub(super) fn create() -> Result<Self> {
        let file = Self { path: workspace_root().join("target/bench.json"), rows: Vec::new() };
        file.write()?;
        Ok(file)
    }

    /// Adds rows, and has them in the file.
    pub(super) fn add(&mut self, rows: impl IntoIterator<Item = Value>) -> Result<()> {
        self.rows.extend(rows);
        self.write()
    }

    fn write(&self) -> Result<()> {
        let text = format!("{:#}\n", Value::Array(self.rows.clone()));
        std::fs::write(&self.path, text)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reading_is_in_the_file_at_once() {
        let path = std::env::temp_dir().join(format!("bench.{}.json", std::process::id()));
        let mut file = ResultFile { path: path.clone(), rows: Vec::new() };
        for count in 1..=2 {
            file.add([Value::from(count)]).unwrap();
            let rows: Vec<u32> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            assert_eq!(rows, Vec::from_iter(1..=count));
        }
        std::fs::remove_file(path).unwrap();
    }
}
