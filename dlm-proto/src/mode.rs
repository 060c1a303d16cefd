//! Lock modes, their compatibility, and which conversions move the lock value block.

use core::fmt;

/// A lock mode. The order is the order of strength, although CW and PR cannot be compared.
///
/// The numbers are those of `linux/dlmconstants.h`.
///
/// ```
/// use dlm_proto::Mode;
///
/// assert_eq!("PR".parse(), Ok(Mode::Pr));
/// assert_eq!((Mode::Ex as u8, Mode::Ex.to_string()), (5, "EX".to_owned()));
/// assert!(Mode::Pw > Mode::Pr);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Mode {
    /// Null: protects nothing, keeps the resource and its lock value block alive.
    Nl = 0,
    /// Concurrent read.
    Cr = 1,
    /// Concurrent write.
    Cw = 2,
    /// Protected read: shared, excludes writers.
    Pr = 3,
    /// Protected write: one updater beside concurrent readers.
    Pw = 4,
    /// Exclusive.
    Ex = 5,
}

/// The transfer of the lock value block by a completed operation with VALBLK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LvbTransfer {
    /// The resource's block is returned to the caller.
    Read,
    /// The caller's block is stored in the resource.
    Write,
    /// The block does not move.
    None,
}

impl Mode {
    /// All six modes, weakest first.
    pub const ALL: [Self; 6] = [Self::Nl, Self::Cr, Self::Cw, Self::Pr, Self::Pw, Self::Ex];

    /// Whether two locks on one resource may be granted these modes at the same time.
    ///
    /// ```
    /// use dlm_proto::Mode;
    /// assert!(Mode::Pr.is_compatible_with(Mode::Pr));
    /// assert!(!Mode::Pr.is_compatible_with(Mode::Cw));
    /// ```
    #[inline]
    #[must_use]
    pub const fn is_compatible_with(self, other: Self) -> bool {
        let mask = match self {
            Self::Nl => 0b11_1111,
            Self::Cr => 0b01_1111,
            Self::Cw => 0b00_0111,
            Self::Pr => 0b00_1011,
            Self::Pw => 0b00_0011,
            Self::Ex => 0b00_0001,
        };
        mask & (1 << other as u8) != 0
    }

    /// The transfer of the lock value block by a conversion from `self` to `to` with VALBLK.
    /// A new request always reads it (all 36 pairs seen on kernels 6.1 and 6.12).
    #[inline]
    #[must_use]
    pub const fn lvb_transfer(self, to: Self) -> LvbTransfer {
        match (self, to) {
            (Self::Pw, Self::Ex) => LvbTransfer::Read,
            (Self::Pw | Self::Ex, _) => LvbTransfer::Write,
            _ if to as u8 >= self as u8 => LvbTransfer::Read,
            _ => LvbTransfer::None,
        }
    }

    /// Whether a conversion from `self` to `to` may carry QUECVT. The kernel refuses the other
    /// pairs with EINVAL and a warning with a stack trace in its log.
    #[inline]
    #[must_use]
    pub const fn allows_quecvt(self, to: Self) -> bool {
        match (self, to) {
            (Self::Pr, Self::Cw) => true,
            _ => (self as u8) < to as u8,
        }
    }

    /// The two-letter name that manuals and kernel dumps use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nl => "NL",
            Self::Cr => "CR",
            Self::Cw => "CW",
            Self::Pr => "PR",
            Self::Pw => "PW",
            Self::Ex => "EX",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A mode as it stands in a record; kernels and other programs may put any number there.
///
/// ```
/// use dlm_proto::{Mode, ModeCode};
///
/// assert_eq!(ModeCode(3).known(), Some(Mode::Pr));
/// assert_eq!(ModeCode(6).known(), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModeCode(pub u8);

impl ModeCode {
    /// The mode, if the number is one of the six.
    #[inline]
    #[must_use]
    pub const fn known(self) -> Option<Mode> {
        match self.0 {
            0 => Some(Mode::Nl),
            1 => Some(Mode::Cr),
            2 => Some(Mode::Cw),
            3 => Some(Mode::Pr),
            4 => Some(Mode::Pw),
            5 => Some(Mode::Ex),
            _ => None,
        }
    }
}

impl From<Mode> for ModeCode {
    #[inline]
    fn from(mode: Mode) -> Self {
        Self(mode as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compatibility_is_symmetric_and_as_published() {
        // Rows and columns NL CR CW PR PW EX.
        let table = ["yyyyyy", "yyyyy-", "yyy---", "yy-y--", "yy----", "y-----"];
        for (a, row) in Mode::ALL.into_iter().zip(table) {
            for (b, cell) in Mode::ALL.into_iter().zip(row.chars()) {
                assert_eq!(a.is_compatible_with(b), cell == 'y', "{a} {b}");
                assert_eq!(a.is_compatible_with(b), b.is_compatible_with(a), "{a} {b}");
            }
        }
    }

    #[test]
    fn lvb_transfer_is_as_seen_on_the_kernel() {
        let table = ["111111", ".11111", "..1111", "...111", "000001", "000000"];
        for (from, row) in Mode::ALL.into_iter().zip(table) {
            for (to, cell) in Mode::ALL.into_iter().zip(row.chars()) {
                let wanted = match cell {
                    '1' => LvbTransfer::Read,
                    '0' => LvbTransfer::Write,
                    _ => LvbTransfer::None,
                };
                assert_eq!(from.lvb_transfer(to), wanted, "{from} to {to}");
            }
        }
    }

    #[test]
    fn quecvt_goes_up_or_sideways() {
        let table = ["-yyyyy", "--yyyy", "---yyy", "--y-yy", "-----y", "------"];
        for (from, row) in Mode::ALL.into_iter().zip(table) {
            for (to, cell) in Mode::ALL.into_iter().zip(row.chars()) {
                assert_eq!(from.allows_quecvt(to), cell == 'y', "{from} to {to}");
            }
        }
    }

    #[test]
    fn mode_numbers_survive_and_unknown_ones_are_told_apart() {
        for number in 0..=u8::MAX {
            let known = ModeCode(number).known();
            assert_eq!(known.is_some(), number <= 5);
            if let Some(mode) = known {
                assert_eq!(ModeCode::from(mode), ModeCode(number));
            }
        }
    }
}
