//! The faults of a node, and the time until others had its locks.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What happens to a node in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// It loses its power.
    Kill,
    /// It gets no processor any more, until it is fenced.
    Freeze,
    /// It loses its network, until it is fenced.
    Cut,
    /// Its dlm_controld is killed, which it does not survive.
    KillController,
    /// It gets no processor for a moment.
    FreezeBriefly,
    /// It loses its network for a moment.
    CutBriefly,
    /// The program that locks is killed.
    KillProgram,
    /// Its program releases the lockspace, and its dlm_controld is stopped and started.
    RestartController,
}

pub(super) const FAULTS: [Fault; 8] = [
    Fault::Kill,
    Fault::Freeze,
    Fault::Cut,
    Fault::KillController,
    Fault::FreezeBriefly,
    Fault::CutBriefly,
    Fault::KillProgram,
    Fault::RestartController,
];

impl Fault {
    /// Whether it ends with the node switched off.
    pub(super) fn fences(self) -> bool {
        matches!(self, Self::Kill | Self::Freeze | Self::Cut | Self::KillController)
    }

    /// Whether it ends the program, so that its locks go to others.
    pub(super) fn ends_program(self) -> bool {
        self.fences() || self == Self::KillProgram
    }

    fn what(self) -> &'static str {
        match self {
            Self::Kill => "node killed",
            Self::Freeze => "node frozen",
            Self::Cut => "node cut off",
            Self::KillController => "dlm_controld killed",
            Self::FreezeBriefly => "node frozen and thawed",
            Self::CutBriefly => "node cut off and healed",
            Self::KillProgram => "program killed",
            Self::RestartController => "dlm_controld restarted",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.what())
    }
}

/// What the rounds showed.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Of each fault, how often it was.
    rounds: BTreeMap<Fault, u32>,
    /// From each fault that ended a program to the grant of its lock.
    grants: Vec<(Fault, Duration)>,
}

impl Figures {
    pub(super) fn round(&mut self, fault: Fault) {
        let count = self.rounds.entry(fault).or_default();
        *count = count.saturating_add(1);
    }

    pub(super) fn grant(&mut self, fault: Fault, after: Duration) {
        self.grants.push((fault, after));
    }

    /// The median and the worst time of the faults that are wanted.
    fn times(&self, wanted: impl Fn(Fault) -> bool) -> Option<(usize, Duration, Duration)> {
        let chosen = self.grants.iter().filter(|(fault, _)| wanted(*fault));
        let mut times: Vec<_> = chosen.map(|(_, time)| *time).collect();
        times.sort();
        Some((times.len(), *times.get(times.len() / 2)?, *times.last()?))
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:26}{:>7}{:>30}", "fault", "rounds", "fault to grant: median, worst")?;
        let mut row = |what: &str, rounds: usize, times: Option<(usize, Duration, Duration)>| {
            write!(f, "{what:26}{rounds:>7}")?;
            match times {
                Some((_, median, worst)) => {
                    let (median, worst) = (median.as_secs_f64(), worst.as_secs_f64());
                    writeln!(f, "{median:>18.2} s{worst:>8.2} s")
                }
                None => writeln!(f),
            }
        };
        for (fault, count) in &self.rounds {
            let times = self.times(|other| other == *fault);
            row(fault.what(), usize::try_from(*count).unwrap_or(usize::MAX), times)?;
        }
        let lost = self.times(Fault::fences);
        row("all lost nodes", lost.map_or(0, |(count, ..)| count), lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_each_fault_and_all_lost_nodes() {
        let mut figures = Figures::default();
        for (fault, seconds) in [(Fault::Kill, 6), (Fault::Cut, 9), (Fault::KillProgram, 1)] {
            figures.round(fault);
            figures.grant(fault, Duration::from_secs(seconds));
        }
        figures.round(Fault::CutBriefly);
        let text = figures.to_string();
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let lines: Vec<_> = text.lines().map(words).collect();
        assert_eq!(lines.len(), 6);
        assert_eq!(lines[1], ["node", "killed", "1", "6.00", "s", "6.00", "s"]);
        assert_eq!(lines[3], ["node", "cut", "off", "and", "healed", "1"]);
        assert_eq!(lines[5], ["all", "lost", "nodes", "2", "9.00", "s", "9.00", "s"]);
    }

    #[test]
    fn a_lost_node_loses_its_program() {
        assert!(FAULTS.into_iter().filter(|fault| fault.fences()).all(Fault::ends_program));
        assert!(!Fault::RestartController.ends_program());
    }
}
