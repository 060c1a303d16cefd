//! The output of libFuzzer.

/// What is known of a fuzzer that runs or has run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Stats {
    /// Inputs tried.
    pub(super) executions: u64,
    /// Edges of the program that were passed.
    pub(super) edges: u64,
    /// Edges, and how often and in which company: what libFuzzer calls features.
    pub(super) features: u64,
    /// Inputs that led to something new.
    pub(super) new_units: u64,
}

impl Stats {
    /// Takes in one line, and says whether it was one about the fuzzer's progress.
    pub(super) fn read(&mut self, line: &str) -> bool {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let number = |word: &str| word.parse::<u64>().ok();
        // #2048 NEW    cov: 61 ft: 90 corp: 12/540b lim: 184 exec/s: 0 rss: 40Mb ...
        if let Some(count) = line.strip_prefix('#').and(words.first()) {
            if let Some(count) = number(count.trim_start_matches('#')) {
                self.executions = self.executions.max(count);
            }
            for pair in words.windows(2) {
                match *pair {
                    ["cov:", value] => self.edges = number(value).unwrap_or(self.edges),
                    ["ft:", value] => self.features = number(value).unwrap_or(self.features),
                    _ => {}
                }
            }
            return true;
        }
        match *words.as_slice() {
            // The last ones, exact.
            ["stat::number_of_executed_units:", value] => {
                self.executions = number(value).unwrap_or(self.executions);
            }
            ["stat::new_units_added:", value] => {
                self.new_units = number(value).unwrap_or(self.new_units);
            }
            [first, ..] => return first.starts_with("stat::"),
            [] => return false,
        }
        true
    }
}

/// The file that libFuzzer says it has written the crashing input to.
pub(super) fn artifact(output: &[String]) -> Option<&str> {
    output.iter().rev().find_map(|line| Some(line.split_once("Test unit written to ")?.1.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_and_closing_lines_are_read() {
        let mut stats = Stats::default();
        assert!(stats.read("#2\tINITED cov: 61 ft: 62 corp: 1/1b exec/s: 0 rss: 39Mb"));
        assert!(
            stats.read("#2048\tNEW    cov: 70 ft: 90 corp: 12/540b lim: 184 exec/s: 0 rss: 40Mb")
        );
        let wanted = Stats { executions: 2048, edges: 70, features: 90, new_units: 0 };
        assert_eq!(stats, wanted);
        assert!(stats.read("stat::number_of_executed_units: 4711"));
        assert!(stats.read("stat::new_units_added:          12"));
        assert!(stats.read("stat::peak_rss_mb:              45"));
        let wanted = Stats { executions: 4711, new_units: 12, ..wanted };
        assert_eq!(stats, wanted);
    }

    #[test]
    fn other_lines_are_left_for_the_reader() {
        let mut stats = Stats::default();
        for line in ["INFO: Seed: 7", "", "thread '<unnamed>' panicked at src/x.rs:1:1:"] {
            assert!(!stats.read(line), "{line}");
        }
        assert_eq!(stats, Stats::default());
    }

    #[test]
    fn the_crashing_input_is_found() {
        let line = "artifact_prefix='a/'; Test unit written to a/crash-0b".to_owned();
        assert_eq!(artifact(&["x".to_owned(), line]), Some("a/crash-0b"));
        assert_eq!(artifact(&["x".to_owned()]), None);
    }
}
