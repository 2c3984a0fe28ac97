//! Queues that tell no ages, in seconds: frames by when they were closed and when they come to analyze.

use super::super::{
    flow::{Flow, Passed},
    progress::Progress,
};
use stages::frame::Micros;

const HOLD: Micros = 120;
/// How long frames are on their way where nothing holds them up.
const LAG: Micros = 2;
/// Between two looks.
const EVERY: Micros = 5;

/// Frames on their way to analyze, and how old counts are.
struct World {
    frames: Vec<(Micros, Micros)>,
    counts_old: Micros,
}

impl World {
    /// Frames that are closed at these seconds.
    fn of(created: impl IntoIterator<Item = Micros>) -> Self {
        let frames = created.into_iter().map(|created| (created, created + LAG));
        Self { frames: frames.collect(), counts_old: HOLD / 2 }
    }

    /// What was closed in `from..until` is held up, and comes within `within` after that, the newest first.
    fn stands(mut self, from: Micros, until: Micros, within: Micros) -> Self {
        let length = (until - from).max(1);
        let held = self.frames.iter_mut().filter(|(created, _)| (from..until).contains(created));
        for (created, arrived) in held {
            *arrived = until + (until - *created) * within / length;
        }
        self
    }

    /// The frame that is closed at `created` comes later, alone.
    fn holds(mut self, created: Micros, secs: Micros) -> Self {
        let held = self.frames.iter_mut().filter(|frame| frame.0 == created);
        held.for_each(|(_, arrived)| *arrived += secs);
        self
    }

    /// Whether a count that is as old as can be finds nothing.
    fn is_dry(&self, at: Micros) -> bool {
        let counted_at = at - self.counts_old;
        !self.frames.iter().any(|(created, arrived)| (*created..*arrived).contains(&counted_at))
    }

    /// How far time has come at each look up to `end`; what is told must be so.
    fn told(&self, every: Micros, end: Micros) -> Vec<(Micros, Option<Micros>)> {
        let (flow, mut passed) = (Flow::default(), Passed::new(HOLD));
        let mut told = Vec::new();
        let mut reached = None;
        for at in (0..=end).step_by(usize::try_from(every).unwrap()) {
            let mut came: Vec<_> =
                self.frames.iter().filter(|frame| (at - every + 1..=at).contains(&frame.1)).collect();
            came.sort_by_key(|(_, arrived)| arrived);
            came.into_iter().for_each(|(created, arrived)| flow.came(*created, *arrived));
            passed.hear(at, flow.take());
            let dry = if passed.flows(at) { None } else { Some(self.is_dry(at)) };
            reached = reached.max(passed.until(at, dry));
            let missing =
                self.frames.iter().find(|(created, arrived)| reached > Some(*created) && *arrived > at);
            assert_eq!(missing, None, "at {at} time has come to {reached:?}");
            told.push((at, reached));
        }
        told
    }

    /// Asserts that in `from..until` time is never further behind than so much.
    #[track_caller]
    fn is_behind(&self, from: Micros, until: Micros, secs: Micros) {
        for (at, reached) in self.told(EVERY, until) {
            let behind = reached.map(|reached| at - reached);
            assert!(at < from || behind.is_some_and(|behind| behind <= secs), "{behind:?} behind at {at}");
        }
    }
}

#[test]
fn under_load_time_goes_by_how_long_frames_are_on_their_way() {
    let told = World::of(0..900).told(EVERY, 900);
    assert_eq!(told.iter().find(|(_, reached)| reached.is_some()), Some(&(125, Some(3))), "after one hold");
    assert!(told.iter().skip(25).all(|(at, reached)| *reached == Some(at - HOLD - LAG)), "{told:?}");
}

#[test]
fn in_silence_time_goes_by_counts() {
    let told = World::of([]).told(EVERY, 600);
    assert_eq!(told.iter().find(|(_, reached)| reached.is_some()), Some(&(65, Some(-60))));
    // To the look before the one that is half a hold ago.
    assert!(told.iter().skip(13).all(|(at, reached)| *reached == Some(at - HOLD - EVERY)), "{told:?}");
    // From load to silence and back again.
    World::of((0..300).chain(900..1500)).is_behind(130, 1500, 2 * HOLD);
}

#[test]
fn few_frames_now_and_then_hold_nothing_up() {
    for pause in [10, 60, 100, 119, 120, 121, 130, 200, 400] {
        let world = World::of((0..30).map(|frame| frame * pause));
        world.is_behind(HOLD + HOLD / 2 + EVERY, 30 * pause, 2 * HOLD + EVERY);
    }
}

#[test]
fn what_waits_is_not_gone_past() {
    for (from, until) in [(300, 330), (300, 400), (300, 420), (300, 425), (300, 1200)] {
        for within in [0, 1, 20, 100] {
            let world = World::of(0..2000).stands(from, until, within);
            let told = world.told(EVERY, 2000);
            let (_, held) = told.iter().rfind(|(at, _)| *at < until).unwrap();
            assert!(*held < Some(from), "{held:?} for {from}..{until}");
            // Once what came late is as long ago as is looked back.
            world.is_behind(until + within + HOLD + 2 * EVERY, 2000, HOLD + LAG);
        }
    }
}

#[test]
fn what_waits_from_the_start_is_not_gone_past() {
    // Only the newest comes at first.
    let world = World::of(0..1000).stands(0, 500, 90);
    assert!(world.told(EVERY, 590).iter().all(|(_, reached)| *reached < Some(0)));
    // In silence, where a count says for a while yet that there is nothing.
    for counts_old in [0, 30, 60] {
        let world = World { counts_old, ..World::of([400]).stands(400, 900, 0) };
        assert_eq!(world.told(EVERY, 895).last(), Some(&(895, Some(270 + counts_old))));
    }
}

#[test]
fn a_frame_whose_holder_died_is_waited_for() {
    for held in [30, 60, HOLD - 1] {
        World::of(0..900).holds(300, held).is_behind(500 + held, 900, HOLD + LAG);
        World::of([300]).holds(300, held).is_behind(300 + held + HOLD + LAG + 2 * EVERY, 900, HOLD + EVERY);
    }
}

#[test]
fn looks_may_be_rare() {
    for every in [30, 100, 300] {
        let told = World::of(0..3000).told(every, 3000);
        let first = told.iter().find(|(_, reached)| reached.is_some()).unwrap();
        assert!(first.0 <= HOLD + LAG + every, "{first:?}");
        assert!(told.last().unwrap().1 >= Some(3000 - HOLD - LAG));
        World::of(0..3000).stands(1000, 2500, 50).told(every, 3000);
        World::of((0..100).chain(1000..3000)).stands(1000, 1200, 50).told(every, 3000);
    }
}

#[test]
fn a_clock_of_ingest_that_is_ahead_takes_no_time_along() {
    let flow = Flow::default();
    let mut passed = Passed::new(HOLD);
    for at in 0..=300 {
        flow.came(at + 50, at);
        passed.hear(at, flow.take());
    }
    assert_eq!(passed.until(300, None), Some(300 - HOLD));
}

#[test]
fn what_became_durable_late_is_waited_for() {
    let mut progress = Progress::new(1);
    // Looks at which all was durable; ingest then holds something from 115 on, up to 190.
    for at in [100, 110] {
        assert_eq!(progress.pass(at, at, None), Micros::MIN);
    }
    assert_eq!(progress.pass(114, 120, Some(105)), 99);
    assert_eq!(progress.pass(114, 180, Some(130)), 113);
    assert_eq!(progress.pass(200, 200, Some(180)), 113);
    assert_eq!(progress.pass(210, 210, Some(205)), 199);
    assert_eq!(progress.pass(220, 220, Some(150)), 199, "it never goes back");
}
