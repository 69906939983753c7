//! A fixed corpus of random programs, and the proof that the comparison can fail.

use scope_tests::model::check::{difference, shrink};
use scope_tests::model::generate::{Features, generate};
use scope_tests::model::rules::Broken;

const PROGRAMS: u64 = 20_000;

#[test]
fn random_programs_do_on_the_library_what_the_rules_say() {
    for seed in 0..PROGRAMS {
        let program = generate(seed, Features::ALL);
        if difference(&program, None).is_some() {
            let least = shrink(&program, |smaller| difference(smaller, None).is_some());
            panic!("seed {seed}:\n{least}{}", difference(&least, None).unwrap_or_default());
        }
    }
}

/// A comparison that can't fail would prove nothing: with a rule broken in the model, some program differs.
#[test]
fn a_model_with_a_broken_rule_is_found_out() {
    for broken in Broken::ALL {
        let found = (0..2_000).any(|seed| difference(&generate(seed, Features::ALL), Some(broken)).is_some());
        assert!(found, "nothing differs though this rule is broken: {broken:?}");
    }
}

#[test]
fn what_differs_is_made_small() {
    let differs = |program: &_| difference(program, Some(Broken::Shields)).is_some();
    let program = (0..).map(|seed| generate(seed, Features::ALL)).find(differs).unwrap();
    let least = shrink(&program, differs);
    assert!(least.size() <= 5 && least.to_string().contains("shield"), "{least}");
}
