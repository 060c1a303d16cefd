//! The count of each mode in a queue, so that questions about a whole queue take no walk.

use dlm_proto::Mode;

/// The modes that a lock of this mode keeps out, as bits.
fn barred(mode: Mode) -> u8 {
    Mode::ALL
        .into_iter()
        .filter(|other| !mode.is_compatible_with(*other))
        .fold(0, |bits, other| bits | 1 << other as u8)
}

/// Whether two modes go together; no mode goes with all.
pub(crate) const fn compatible(a: Option<Mode>, b: Option<Mode>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.is_compatible_with(b),
        _ => true,
    }
}

/// Locks of each mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ModeCounts {
    counts: [u32; 6],
    present: u8,
}

impl ModeCounts {
    pub(crate) fn add(&mut self, mode: Option<Mode>) {
        let Some(mode) = mode else { return };
        if let Some(count) = self.counts.get_mut(mode as usize) {
            *count += 1;
        }
        self.present |= 1 << mode as u8;
    }

    pub(crate) fn remove(&mut self, mode: Option<Mode>) {
        let Some(mode) = mode else { return };
        if let Some(count) = self.counts.get_mut(mode as usize) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.present &= !(1 << mode as u8);
            }
        }
    }

    pub(crate) fn get(&self, mode: Mode) -> u32 {
        self.counts.get(mode as usize).copied().unwrap_or(0)
    }

    /// Whether a lock other than one of mode `own` is incompatible with `wanted`.
    pub(crate) fn conflicts(&self, wanted: Mode, own: Option<Mode>) -> bool {
        let mut present = self.present & barred(wanted);
        if let Some(own) = own {
            if self.get(own) == 1 {
                present &= !(1 << own as u8);
            }
        }
        present != 0
    }

    pub(crate) fn highest(&self) -> Option<Mode> {
        Mode::ALL.into_iter().rev().find(|&mode| self.present & 1 << mode as u8 != 0)
    }
}

/// Granted locks by mode and by the highest mode that they were notified of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NoticeCounts {
    counts: [[u32; 6]; 6],
    present: u64,
}

impl NoticeCounts {
    const fn bit(granted: Mode, noticed: Mode) -> u64 {
        1 << (granted as u64 * 6 + noticed as u64)
    }

    fn cell(&mut self, granted: Mode, noticed: Mode) -> Option<&mut u32> {
        self.counts.get_mut(granted as usize)?.get_mut(noticed as usize)
    }

    pub(crate) fn add(&mut self, granted: Option<Mode>, noticed: Mode) {
        let Some(granted) = granted else { return };
        if let Some(count) = self.cell(granted, noticed) {
            *count += 1;
        }
        self.present |= Self::bit(granted, noticed);
    }

    pub(crate) fn remove(&mut self, granted: Option<Mode>, noticed: Mode) {
        let Some(granted) = granted else { return };
        let Some(count) = self.cell(granted, noticed) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.present &= !Self::bit(granted, noticed);
        }
    }

    /// Whether a lock has a pair of modes that the question is answered with yes for.
    pub(crate) fn any(&self, mut question: impl FnMut(Mode, Mode) -> bool) -> bool {
        self.present != 0
            && Mode::ALL.into_iter().any(|granted| {
                Mode::ALL.into_iter().any(|noticed| {
                    self.present & Self::bit(granted, noticed) != 0 && question(granted, noticed)
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_knows_conflicts_but_not_with_the_lock_itself() {
        let mut counts = ModeCounts::default();
        counts.add(Some(Mode::Pr));
        assert!(counts.conflicts(Mode::Ex, None));
        assert!(!counts.conflicts(Mode::Pr, None));
        assert!(!counts.conflicts(Mode::Ex, Some(Mode::Pr)));
        counts.add(Some(Mode::Pr));
        assert!(counts.conflicts(Mode::Ex, Some(Mode::Pr)));
        counts.remove(Some(Mode::Pr));
        counts.remove(Some(Mode::Pr));
        assert_eq!(counts, ModeCounts::default());
    }

    #[test]
    fn the_highest_mode_is_the_highest_that_is_present() {
        let mut counts = ModeCounts::default();
        assert_eq!(counts.highest(), None);
        counts.add(Some(Mode::Cw));
        counts.add(None);
        assert_eq!(counts.highest(), Some(Mode::Cw));
        counts.add(Some(Mode::Pw));
        assert_eq!((counts.highest(), counts.get(Mode::Pw)), (Some(Mode::Pw), 1));
    }

    #[test]
    fn notices_are_counted_by_pair() {
        let mut counts = NoticeCounts::default();
        counts.add(Some(Mode::Ex), Mode::Nl);
        assert!(counts.any(|granted, noticed| granted == Mode::Ex && noticed < Mode::Pr));
        assert!(!counts.any(|granted, _| granted == Mode::Pr));
        counts.remove(Some(Mode::Ex), Mode::Nl);
        assert_eq!(counts, NoticeCounts::default());
    }
}
