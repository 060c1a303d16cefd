//! Text for people: columns, times, and colours where a terminal shows them.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use dlm_runtime::inspect::{Lock, Place};

use crate::status::Failure;

/// A way to show something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// A heading.
    Bold,
    /// What is awaited.
    Waits,
    /// What is wrong.
    Bad,
}

/// Whether output is coloured: on a terminal, unless NO_COLOR says otherwise.
pub(crate) fn is_coloured() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Text in a colour, if there is colour.
pub(crate) fn paint(text: &str, paint: Paint, coloured: bool) -> String {
    if !coloured {
        return text.to_owned();
    }
    let code = match paint {
        Paint::Bold => "1",
        Paint::Waits => "33",
        Paint::Bad => "31",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Writes to the output. Nobody reads it any more: then it ends the program as SIGPIPE would.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(141),
        answer => Ok(answer?),
    }
}

/// Writes JSON, with a newline behind it.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(io::Error::from)?;
    print(&format!("{text}\n"))
}

/// A time in two digits or three: `0.2 s`, `35 s`, `4 min`, `3 h`, `5 d`.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The word for a place in a resource.
pub(crate) const fn place(place: Place) -> &'static str {
    match place {
        Place::Granted => "granted",
        Place::Converting => "converting",
        Place::Waiting => "waiting",
        Place::Unqueued => "unqueued",
    }
}

/// The modes of a lock: `EX`, or `PR -> EX` for one that is converted, or `-> EX`.
pub(crate) fn modes(lock: &Lock) -> String {
    let mut text = String::new();
    if let Some(mode) = lock.granted {
        text.push_str(mode.name());
    }
    if let Some(mode) = lock.requested {
        let blank = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{blank}-> {mode}");
    }
    text
}

/// Lines of columns, each as wide as its widest cell; the last is not padded.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn with_heads(heads: &[&str]) -> Self {
        Self { rows: vec![heads.iter().map(ToString::to_string).collect()] }
    }

    pub(crate) fn add(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// The text; the heads are bold if there is colour.
    pub(crate) fn text(&self, coloured: bool) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for (at, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (width, cell) in widths.iter().zip(row) {
                let _ = write!(line, "{cell:<width$}  ");
            }
            let line = line.trim_end();
            if at == 0 {
                text.push_str(&paint(line, Paint::Bold, coloured));
            } else {
                text.push_str(line);
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let cases = [
            (Duration::from_millis(240), "0.2 s"),
            (Duration::from_secs(35), "35 s"),
            (Duration::from_secs(250), "4 min"),
            (Duration::from_secs(11_000), "3 h"),
            (Duration::from_secs(500_000), "5 d"),
        ];
        for (given, wanted) in cases {
            assert_eq!(time(given), wanted);
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let mut table = Table::with_heads(&["A", "LONG"]);
        table.add(vec!["wide".into(), "b".into()]);
        assert_eq!(table.text(false), "A     LONG\nwide  b\n");
        assert!(table.text(true).starts_with("\x1b[1mA     LONG\x1b[0m\n"));
    }
}
