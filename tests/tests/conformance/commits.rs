//! What one commit does, all of it or nothing; state, books and depth.

use std::time::Duration;

use millstream::{
    queue::{
        Commit, DeadLetter, Depth, NumberedDelta,
        QueueName::{Alert, Analyze, Store, Transform},
        Queues, Verdict,
    },
    state::Loaded,
};
use stages::{frame::Lane, plan::Counts};

use crate::engine::{
    Engine, Limits, entry, frame, is_lost, numbers, publish, receipts, receive, settle, sized,
};

fn delta(number: u64, snapshot: Option<Vec<u8>>) -> NumberedDelta {
    NumberedDelta {
        stage: "analyze",
        lane: Lane(0),
        number,
        bytes: vec![number as u8],
        snapshot,
        applied: Vec::new(),
    }
}

async fn commit(queues: &Queues, commit: Commit) -> Result<(), millstream::queue::QueueError> {
    queues.commit(vec![commit]).await.remove(0)
}

pub(crate) async fn conformance_commit_consumes_publishes_and_counts<E: Engine>() {
    let mut engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Analyze, (1..=2).map(|number| frame(number, 0))).await;
    let counts = Counts { consumed: 3, quarantined: 1, repeated: 2, filtered: 4, produced: 5, late: 6 };
    for number in 1..=2 {
        let held = receive(&queues, Analyze, queues.holder(), 1).await;
        let step = Commit {
            receipts: receipts(&held),
            publish: vec![entry(Alert, frame(number + 10, 0)), entry(Store, frame(number + 20, 0))],
            deltas: vec![delta(number.into(), None)],
            counts: vec![("analyze", counts)],
            ..Commit::default()
        };
        commit(&queues, step).await.expect("committed");
    }
    drop(queues);

    engine.die().await;
    let queues = engine.queues();
    assert_eq!(queues.depth(Analyze).await.expect("depth"), Depth::default());
    assert_eq!(numbers(&receive(&queues, Alert, queues.holder(), 9).await), [11, 12]);
    assert_eq!(numbers(&receive(&queues, Store, queues.holder(), 9).await), [21, 22]);
    assert_eq!(engine.state().load("analyze", Lane(0), None).await.expect("loaded").number, 2);
    let twice = Counts { consumed: 6, quarantined: 2, repeated: 4, filtered: 8, produced: 10, late: 12 };
    assert_eq!(
        queues.books().await.expect("books").into_iter().collect::<Vec<_>>(),
        [("analyze".into(), twice)]
    );
}

/// Without state and books.
pub(crate) async fn conformance_commit_consumes_publishes_and_buries<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Analyze, (1..=2).map(|number| frame(number, 0))).await;
    let held = receive(&queues, Analyze, queues.holder(), 2).await;
    let step = Commit {
        receipts: receipts(&held),
        publish: vec![entry(Alert, frame(11, 0)), entry(Store, frame(21, 0)), entry(Alert, frame(12, 0))],
        dead: vec![DeadLetter {
            queue: Analyze,
            frame: frame(3, 0),
            attempts: 5,
            reason: "it panics".into(),
        }],
        ..Commit::default()
    };
    commit(&queues, step).await.expect("committed");
    let depth = queues.depth(Analyze).await.expect("depth");
    assert_eq!((depth.frames, depth.dead), (0, 1));
    assert_eq!(numbers(&receive(&queues, Alert, queues.holder(), 9).await), [11, 12]);
    assert_eq!(numbers(&receive(&queues, Store, queues.holder(), 9).await), [21]);
}

pub(crate) async fn conformance_commit_keeps_what_it_gives_up<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Transform, [frame(7, 0)]).await;
    let held = receive(&queues, Transform, queues.holder(), 1).await;
    let letter = DeadLetter { queue: Transform, frame: frame(2, 0), attempts: 5, reason: "it panics".into() };
    let step = Commit {
        receipts: receipts(&held),
        publish: vec![entry(Analyze, frame(5, 0))],
        dead: vec![letter],
        ..Commit::default()
    };
    commit(&queues, step).await.expect("committed");
    let (from, to) =
        (queues.depth(Transform).await.expect("depth"), queues.depth(Analyze).await.expect("depth"));
    assert_eq!((from.frames, from.rows, from.bytes, from.dead), (0, 0, 0, 1));
    assert_eq!((to.frames, to.rows), (1, 5));
}

pub(crate) async fn conformance_commit_with_a_lost_receipt_changes_nothing<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Analyze, (1..=2).map(|number| frame(number, 0))).await;
    let run = receive(&queues, Analyze, queues.holder(), 2).await;
    engine.advance(E::LEASE).await;
    let held = receive(&queues, Analyze, queues.holder(), 1).await;
    assert_eq!(numbers(&held), [1]);
    let step = Commit {
        receipts: vec![held[0].receipt.clone(), run[1].receipt.clone()],
        publish: vec![entry(Alert, frame(11, 0))],
        deltas: vec![delta(1, None)],
        counts: vec![("analyze", Counts { consumed: 1, ..Counts::default() })],
        ..Commit::default()
    };
    assert!(is_lost(&commit(&queues, step).await));
    let depth = queues.depth(Analyze).await.expect("depth");
    assert_eq!((depth.frames, depth.in_flight), (2, 1));
    assert_eq!(queues.depth(Alert).await.expect("depth").frames, 0);
    assert_eq!(engine.state().load("analyze", Lane(0), None).await.expect("loaded"), Loaded::default());
    assert!(queues.books().await.expect("books").is_empty());
}

pub(crate) async fn conformance_state_is_numbered_and_snapshots_replace_deltas<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    for (number, snapshot) in [(1, None), (2, None), (3, Some(vec![33])), (4, None), (5, None)] {
        let step = Commit { deltas: vec![delta(number, snapshot)], ..Commit::default() };
        commit(&queues, step.clone()).await.expect("committed");
        assert!(commit(&queues, step).await.is_err(), "each number once");
    }
    let deltas = vec![(4, vec![4]), (5, vec![5])];
    let cases = [
        (None, Some((3, vec![33])), deltas.clone()),
        (Some(1), Some((3, vec![33])), deltas.clone()),
        (Some(3), None, deltas),
        (Some(4), None, vec![(5, vec![5])]),
        (Some(5), None, vec![]),
    ];
    for (since, snapshot, deltas) in cases {
        let loaded = engine.state().load("analyze", Lane(0), since).await.expect("loaded");
        assert_eq!(loaded, Loaded { snapshot, deltas, applied: Vec::new(), number: 5 }, "since {since:?}");
    }
    let elsewhere = engine.state().load("analyze", Lane(1), None).await.expect("loaded");
    assert_eq!(elsewhere, Loaded::default(), "lanes are apart");
    assert_eq!(engine.state().load("alert", Lane(0), None).await.expect("loaded"), Loaded::default());
}

pub(crate) async fn conformance_depth_counts_frames<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let (queues, other) = (engine.queues(), engine.another_process().await);
    publish(&queues, Store, (1..=4).map(|number| frame(number, 0))).await;
    let held = receive(&queues, Store, queues.holder(), 2).await;
    settle(&queues, &held[0], Verdict::Dead("it cannot be read".into())).await.expect("settled");
    for queues in [queues, other] {
        let depth = queues.depth(Store).await.expect("depth");
        assert_eq!((depth.frames, depth.in_flight, depth.dead), (3, 1, 1));
    }
}

pub(crate) async fn conformance_depth_tells_what_a_queue_holds<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let (queues, other) = (engine.queues(), engine.another_process().await);
    publish(&queues, Transform, [sized(10, 0, 500), sized(20, 1, 600)]).await;
    engine.advance(Duration::from_secs(7)).await;
    publish(&queues, Transform, [sized(30, 1, 700)]).await;
    assert_eq!(numbers(&receive(&queues, Transform, queues.holder(), 1).await), [10]);
    let oldest_age = Some(Duration::from_secs(7));
    let expected = Depth { frames: 3, rows: 60, bytes: 1800, in_flight: 1, oldest_age, ..Depth::default() };
    for queues in [queues, other] {
        assert_eq!(queues.depth(Transform).await.expect("depth"), expected);
    }
}
