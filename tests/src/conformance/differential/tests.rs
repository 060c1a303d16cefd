//! Engines against engines.

use super::*;
use crate::conformance::{generate, shrink};
use crate::scenario::{self, Scenario};

#[test]
fn engines_of_one_kernel_do_not_differ() {
    for kernel in [Kernel::V6_1, Kernel::V6_12] {
        let mut differential = Differential::new(EngineDevices::new(kernel)).unwrap();
        for seed in 0..600 {
            assert_eq!(differential.run(&generate(seed)).unwrap(), None, "seed {seed}");
        }
        assert!(differential.steps > 3000, "{} steps", differential.steps);
        assert!(
            differential.skipped < differential.steps / 2,
            "{} of {}",
            differential.skipped,
            differential.steps
        );
        let seen = differential.coverage.to_string();
        for wanted in [
            "EINVAL",
            "EBUSY",
            "ENOENT",
            "EAGAIN",
            "EBADE",
            "granted",
            "again",
            "deadlock",
            "cancelled",
            "unlocked",
            "blocking",
            "demoted",
            "altmode",
            "valnotvalid",
            "lvb",
        ] {
            assert!(seen.contains(wanted), "{wanted} has not come: {seen}");
        }
        differential.finish().unwrap();
    }
}

fn steps(scenario: Scenario) -> Vec<Step> {
    scenario.steps.into_iter().map(|placed| placed.step).collect()
}

#[test]
fn locks_that_are_known_to_stay_do_not_end_a_run() {
    let defect = scenario::scenario("an_alternate_mode_that_is_held_already_is_granted_twice");
    let defect = steps(defect);
    for kernel in [Kernel::V6_1, Kernel::V6_12] {
        let mut differential = Differential::new(EngineDevices::new(kernel)).unwrap();
        assert_eq!(differential.run(&defect), Ok(None));
        assert_eq!(differential.run(&generate(508_751_963_233)), Ok(None));
        assert_eq!(differential.leaked, 2);
        // It goes on with the same ids as any engine.
        for seed in 0..20 {
            assert_eq!(differential.run(&generate(seed)), Ok(None));
        }
        assert_eq!(differential.leaked, 2);
        differential.finish().unwrap();
    }
}

#[test]
fn a_lock_that_stays_for_another_reason_is_a_difference_even_if_it_does_on_both() {
    let mut differential = Differential::new(EngineDevices::new(Kernel::V6_12)).unwrap();
    let text = "open a\na lock A \"r\" EX forceunlock\n";
    let script = steps(Scenario::parse("it", text).unwrap());
    let found = differential.run(&script).unwrap().unwrap();
    assert!(found.text.starts_with("locks are kept in main"), "{}", found.text);
    assert_eq!(differential.leaked, 0);
    assert_eq!(differential.run(&generate(1)), Ok(None));
    differential.finish().unwrap();
}

#[test]
fn engines_of_two_kernels_differ_and_a_few_steps_show_it() {
    let backend = EngineDevices::new(Kernel::V6_12);
    let mut differential = Differential::between(backend, Kernel::V6_1).unwrap();
    let mut found = 0;
    for seed in 0..100 {
        let script = generate(seed);
        if let Some(difference) = differential.run(&script).unwrap() {
            let (shortest, difference) = shrink(&mut differential, &script, difference).unwrap();
            assert!(shortest.len() <= 12, "seed {seed}:\n{}", difference.scenario);
            let scenario = Scenario::parse("it", &difference.scenario).unwrap();
            // What the 6.12 did is what the scenario wants.
            let again = scenario::run(EngineDevices::new(Kernel::V6_12), &scenario);
            assert_eq!(again, Ok(()), "seed {seed}:\n{}", difference.scenario);
            found += 1;
        }
    }
    assert!(found > 20, "only {found}");
    differential.finish().unwrap();
}

#[test]
fn a_script_that_took_too_long_is_done_again_and_a_difference_that_stays_is_told() {
    let mut differential =
        Differential::between(EngineDevices::new(Kernel::V6_12), Kernel::V6_1).unwrap();
    differential.pace = Duration::ZERO;
    let text = "open a\na lock A \"r\" EX words=1\na convert A PR words=2\n";
    let script = steps(Scenario::parse("it", text).unwrap());
    assert_ne!(differential.run(&script), Ok(None));
    assert_eq!(differential.repeated, 3);
    assert_eq!(
        differential.run(&steps(Scenario::parse("it", "open a\na version\n").unwrap())),
        Ok(None)
    );
    assert_eq!(differential.repeated, 3);
    differential.finish().unwrap();
}
