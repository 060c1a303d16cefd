//! A machine that failed, with what it said before.

use std::fmt;

/// Lines shown of each text; a report of a hang or an oops fits.
const SHOWN: usize = 300;

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The machine does not exist any more.
    Ended,
    /// A time limit struck.
    TimeLimit,
}

/// The failure of a machine. It is found in an `anyhow::Error` with `downcast_ref`.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// What kind it is.
    pub kind: Kind,
    text: String,
}

impl Trouble {
    /// Describes a failure, with the texts that explain it.
    #[must_use]
    pub fn new(kind: Kind, what: String, evidence: &[(&str, &str)]) -> Self {
        let mut text = what;
        for (name, content) in evidence {
            let lines: Vec<_> = content.lines().filter(|line| !line.trim().is_empty()).collect();
            let left_out = lines.len().saturating_sub(SHOWN);
            if lines.is_empty() {
                continue;
            }
            text.push_str(&format!("\n--- {name}"));
            if left_out > 0 {
                text.push_str(&format!(" ({left_out} lines left out)"));
            }
            for line in lines.get(left_out..).unwrap_or_default() {
                text.push_str(&format!("\n    {line}"));
            }
        }
        Self { kind, text }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Trouble {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_long_text_is_shown() {
        let long: String = (0..SHOWN + 2).map(|n| format!("line {n}\n")).collect();
        let evidence = [("console", long.as_str()), ("log", "\n \n")];
        let text = Trouble::new(Kind::Ended, "it ended".into(), &evidence).to_string();
        assert!(text.starts_with("it ended\n--- console (2 lines left out)\n    line 2\n"));
        assert!(text.ends_with(&format!("line {}", SHOWN + 1)));
    }
}
