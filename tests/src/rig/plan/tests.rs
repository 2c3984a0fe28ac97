//! Plans are reproducible, and sooner or later have everything.

use millstream::failpoint::FAIL_POINTS;

use super::*;

#[test]
fn a_seed_draws_the_same_plan_and_another_a_different_one() {
    assert_eq!(Plan::draw(7, 4), Plan::draw(7, 4));
    assert_ne!(Plan::draw(7, 4).processes, Plan::draw(8, 4).processes);
    assert_ne!(Plan::draw(7, 4).processes, Plan::draw(7, 7).processes);
}

#[test]
fn storms_come_over_stages_that_nobody_else_runs() {
    let short =
        |life: &Life| life.fail_point.is_some_and(|point| point.name == "step_before" && point.hit == 1);
    let mut storms = 0;
    for plan in (0..60).map(|round| Plan::draw(1, round)) {
        let stormy = plan.processes.iter().filter(|process| process.lives.iter().take(STORM).all(short));
        for stage in stormy.map(|process| process.stage) {
            storms += 1;
            assert_eq!(plan.processes.iter().filter(|process| process.stage == stage).count(), 1);
        }
    }
    assert!((1..20).contains(&storms), "{storms}");
}

#[test]
fn every_moment_is_drawn_sooner_or_later() {
    let plans = (0..60).map(|round| Plan::draw(1, round));
    let lives = plans.flat_map(|plan| plan.processes).flat_map(|process| process.lives);
    let drawn: Vec<_> = lives.filter_map(|life| life.fail_point).map(|fail_point| fail_point.name).collect();
    for (name, _) in FAIL_POINTS.iter().filter(|(_, passer)| is_drawn(*passer)) {
        assert!(drawn.contains(name), "{name}");
    }
}

#[test]
fn the_first_rounds_are_of_each_mode_and_the_lake_is_in_both_places() {
    let plans = |rounds: std::ops::Range<u64>| rounds.map(|round| Plan::draw(1, round));
    let modes = Mode::ALL.len() as u64;
    assert_eq!(plans(0..modes).map(|plan| plan.mode).collect::<Vec<_>>(), Mode::ALL);
    for mode in Mode::ALL.into_iter().filter(|mode| mode.is_on_aws()) {
        let places: Vec<bool> =
            plans(0..2 * modes).filter(|plan| plan.mode == mode).map(|plan| plan.objects).collect();
        assert!(matches!(places[..], [true, false] | [false, true]), "{mode}: {places:?}");
    }
}
