//! `dlm doctor`: what is in order, and the command that mends what is not.

mod cluster;
mod devices;
mod kernel;
mod lockspaces;

use serde::Serialize;

use crate::args::Common;
use crate::output::{Paint, is_coloured, paint, print, print_json};
use crate::status::{Failure, Status};

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// It is in order.
    Ok,
    /// It is as it is, and should be known.
    Note,
    /// It is not in order.
    Bad,
    /// It could not be looked at.
    Unknown,
}

/// A line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The name of the check, which stays the same.
    check: &'static str,
    /// What it came to.
    verdict: Verdict,
    /// That in words.
    text: String,
    /// What mends it: a command, or an advice.
    mend: Option<String>,
}

impl Finding {
    pub(crate) fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, text: text.into(), mend: None }
    }

    pub(crate) fn note(
        check: &'static str,
        text: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Note, mend: Some(mend.into()), ..Self::ok(check, text) }
    }

    pub(crate) fn bad(
        check: &'static str,
        text: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Bad, mend: Some(mend.into()), ..Self::ok(check, text) }
    }

    pub(crate) fn unknown(check: &'static str, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown, ..Self::ok(check, text) }
    }

    fn line(&self, coloured: bool) -> String {
        let (word, colour) = match self.verdict {
            Verdict::Ok => ("ok", None),
            Verdict::Note => ("note", Some(Paint::Waits)),
            Verdict::Bad => ("BAD", Some(Paint::Bad)),
            Verdict::Unknown => ("?", Some(Paint::Waits)),
        };
        let padded = format!("{word:<5}");
        let word = colour.map_or(padded.clone(), |colour| paint(&padded, colour, coloured));
        let mend = self.mend.as_ref().map_or(String::new(), |mend| format!("\n        {mend}"));
        format!("{word} {}: {}{mend}\n", self.check, self.text)
    }
}

pub(crate) fn run(common: &Common) -> Result<Status, Failure> {
    if common.engine || !common.dump.is_empty() {
        return Err(Failure::new(Status::Usage, "doctor looks at this node's kernel only"));
    }
    let mut findings = kernel::look();
    // Without the module nothing else can be right.
    if findings.iter().all(|finding| finding.verdict != Verdict::Bad) {
        findings.extend(devices::look());
        findings.extend(cluster::look());
        findings.extend(lockspaces::look());
        findings.extend(kernel::hazards());
    }
    if common.json {
        print_json(&findings)?;
    } else {
        let coloured = is_coloured();
        let text: String = findings.iter().map(|finding| finding.line(coloured)).collect();
        print(&text)?;
    }
    let is_bad = findings.iter().any(|finding| finding.verdict == Verdict::Bad);
    Ok(if is_bad { Status::Not } else { Status::Good })
}
