//! The samples of the contestants of one row, and their summary.

/// Measurements of one contestant, one for each round, in nanoseconds per operation.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    pub(super) fn add(&mut self, cost: f64) {
        self.0.push(cost);
    }

    /// The cost in the middle: outliers of a busy machine do not move it.
    pub(super) fn median(&self) -> f64 {
        median(self.0.clone())
    }

    /// From the lowest to the highest, as a part of the median.
    pub(super) fn spread(&self) -> f64 {
        let lowest = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = self.0.iter().copied().fold(0.0, f64::max);
        (highest - lowest) / self.median()
    }

    /// How many times as fast as the other: the median over the rounds, each compared with what
    /// the other did in the same round. What slows the machine down for longer than a round slows
    /// both.
    pub(super) fn speed_beside(&self, other: &Self) -> f64 {
        median(self.0.iter().zip(&other.0).map(|(ours, theirs)| theirs / ours).collect())
    }
}

/// The fastest of some contestants.
pub(super) fn fastest<'a>(samples: impl Iterator<Item = &'a Samples>) -> Option<&'a Samples> {
    samples.min_by(|a, b| a.median().total_cmp(&b.median()))
}

/// Of an even number of values the mean of the middle two; NaN of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let (_, upper) = values.split_at(middle);
    let upper = upper.first().copied().unwrap_or(f64::NAN);
    if values.len().is_multiple_of(2) {
        let lower = middle.checked_sub(1).and_then(|at| values.get(at)).copied();
        f64::midpoint(lower.unwrap_or(f64::NAN), upper)
    } else {
        upper
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(costs: &[f64]) -> Samples {
        Samples(costs.to_vec())
    }

    #[test]
    fn the_median_ignores_an_outlier() {
        assert_eq!(samples(&[3.0, 100.0, 2.0]).median(), 3.0);
        assert_eq!(samples(&[4.0, 2.0]).median(), 3.0);
        assert_eq!(samples(&[7.0]).median(), 7.0);
        assert!(samples(&[]).median().is_nan());
    }

    #[test]
    fn the_spread_is_relative() {
        assert_eq!(samples(&[90.0, 100.0, 120.0]).spread(), 0.3);
        assert_eq!(samples(&[5.0]).spread(), 0.0);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine is half as fast in the second round, for both.
        let (ours, theirs) = (samples(&[50.0, 100.0, 40.0]), samples(&[100.0, 200.0, 100.0]));
        assert_eq!(ours.speed_beside(&theirs), 2.0);
        assert_eq!(ours.speed_beside(&ours), 1.0);
    }

    #[test]
    fn the_fastest_is_found() {
        let all = [samples(&[3.0]), samples(&[1.0]), samples(&[2.0])];
        assert_eq!(fastest(all.iter()).unwrap().median(), 1.0);
        assert!(fastest([].iter()).is_none());
    }
}
