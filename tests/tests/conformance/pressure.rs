//! Q9: a full queue makes publishers wait; and what wakes those who wait to receive.

use std::{future::Future, time::Duration};

use millstream::queue::{
    Commit,
    QueueName::{Analyze, Notify, Transform, Validate},
    Verdict,
};
use tokio::time::timeout;

use crate::engine::{
    Engine, Limits, await_frames, done, entry, frame, numbers, publish, receipts, receive, settle, sized,
};

const SMALL: Limits = Limits { queue_bytes_max: 3000, frame_bytes_max: 2000, dead_bytes_max: 1 << 30 };
const LONG: Duration = Duration::from_secs(20);

/// Asserts that `waiting` is not done by itself.
async fn assert_waits(waiting: impl Future) {
    assert!(timeout(Duration::from_millis(100), waiting).await.is_err(), "it did not wait");
}

pub(crate) async fn conformance_q9_full_queue_makes_publishers_wait<E: Engine>() {
    let engine = E::start(SMALL).await;
    let queues = engine.queues();
    publish(&queues, Validate, (1..=3).map(|number| sized(number, 0, 1000))).await;
    let waiting = publish(&queues, Validate, [sized(4, 0, 1000)]);
    tokio::pin!(waiting);
    assert_waits(&mut waiting).await;
    publish(&queues, Transform, [frame(5, 0)]).await;

    let held = receive(&queues, Validate, queues.holder(), 1).await;
    assert_waits(&mut waiting).await;
    done(&queues, &held).await;
    timeout(LONG, waiting).await.expect("there is room");
    assert_eq!(
        numbers(&receive(&queues, Validate, queues.holder(), 9).await),
        [2, 3, 4],
        "nothing is dropped"
    );
}

pub(crate) async fn conformance_q9_full_queue_makes_commits_wait<E: Engine>() {
    let engine = E::start(SMALL).await;
    let queues = engine.queues();
    publish(&queues, Transform, [frame(9, 0)]).await;
    publish(&queues, Analyze, (1..=3).map(|number| sized(number, 0, 1000))).await;
    let held = receive(&queues, Transform, queues.holder(), 1).await;
    let commit =
        Commit { receipts: receipts(&held), publish: vec![entry(Analyze, frame(4, 0))], ..Commit::default() };
    let waiting = queues.commit(vec![commit]);
    tokio::pin!(waiting);
    assert_waits(&mut waiting).await;
    assert_eq!(queues.depth(Transform).await.expect("depth").in_flight, 1, "still held, nothing is settled");

    done(&queues, &receive(&queues, Analyze, queues.holder(), 1).await).await;
    let answers = timeout(LONG, waiting).await.expect("there is room");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(queues.depth(Transform).await.expect("depth").frames, 0);
}

pub(crate) async fn conformance_q9_room_made_by_another_process_is_seen<E: Engine>() {
    let engine = E::start(SMALL).await;
    let (queues, other) = (engine.queues(), engine.another_process().await);
    publish(&queues, Validate, (1..=3).map(|number| sized(number, 0, 1000))).await;
    let waiting = publish(&queues, Validate, [sized(4, 0, 1000)]);
    tokio::pin!(waiting);
    assert_waits(&mut waiting).await;
    done(&other, &receive(&other, Validate, other.holder(), 1).await).await;
    timeout(LONG, waiting).await.expect("there is room");
}

pub(crate) async fn conformance_q9_full_notify_gives_up_its_oldest_and_makes_nobody_wait<E: Engine>() {
    let engine = E::start(SMALL).await;
    let queues = engine.queues();
    publish(&queues, Notify, [sized(1, 5, 1000), sized(2, 6, 1000)]).await;
    let held = receive(&queues, Notify, queues.holder(), 1).await;
    assert_eq!(numbers(&held), [1]);
    publish(&queues, Notify, [sized(3, 5, 1000), sized(4, 6, 1000)]).await;
    publish(&queues, Transform, [frame(9, 0)]).await;
    let transform = receive(&queues, Transform, queues.holder(), 1).await;
    let commit = Commit {
        receipts: receipts(&transform),
        publish: vec![entry(Notify, sized(5, 5, 1000))],
        ..Commit::default()
    };
    queues.commit(vec![commit]).await.remove(0).expect("committed at once");

    let depth = queues.depth(Notify).await.expect("depth");
    assert_eq!((depth.frames, depth.bytes, depth.dead), (3, 3000, 2));
    done(&queues, &held).await;
    let mut left = Vec::new();
    for _ in 0..2 {
        left.extend(numbers(&receive(&queues, Notify, queues.holder(), 9).await));
    }
    assert_eq!(left, [4, 5], "the oldest that nobody held are gone");
}

pub(crate) async fn conformance_q9_flood_in_one_lane_of_notify_costs_no_other_lane<E: Engine>() {
    let engine = E::start(SMALL).await;
    let queues = engine.queues();
    publish(&queues, Notify, [sized(1, 6, 500), sized(2, 6, 500)]).await;
    let held = receive(&queues, Notify, queues.holder(), 1).await;
    settle(&queues, &held[0], Verdict::Later(Duration::from_secs(60))).await.expect("settled");
    publish(&queues, Notify, (3..=40).map(|number| sized(number, 5, 500))).await;
    let depth = queues.depth(Notify).await.expect("depth");
    assert_eq!((depth.frames, depth.rows, depth.bytes, depth.dead), (5, 1 + 2 + 38 + 39 + 40, 2500, 35));
    let mut left = Vec::new();
    for _ in 0..2 {
        left.extend(numbers(&receive(&queues, Notify, queues.holder(), 9).await));
    }
    assert_eq!(left, [2, 38, 39, 40], "1 is put off");
}

pub(crate) async fn conformance_receive_wakes_on_a_publish<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    let waiting = await_frames(&queues, Validate, queues.holder());
    tokio::pin!(waiting);
    assert_waits(&mut waiting).await;
    publish(&queues, Validate, [frame(1, 0)]).await;
    assert_eq!(numbers(&waiting.await), [1]);
}

pub(crate) async fn conformance_receive_wakes_on_a_publish_of_another_process<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let (queues, other) = (engine.queues(), engine.another_process().await);
    let waiting = await_frames(&queues, Validate, queues.holder());
    tokio::pin!(waiting);
    assert_waits(&mut waiting).await;
    publish(&other, Validate, [frame(1, 0)]).await;
    assert_eq!(numbers(&waiting.await), [1]);
}

pub(crate) async fn conformance_receive_wakes_when_a_lane_comes_free<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Transform, (1..=2).map(|number| frame(number, 0))).await;
    let held = receive(&queues, Transform, queues.holder(), 1).await;
    let waiting = await_frames(&queues, Transform, queues.holder());
    tokio::pin!(waiting);
    assert_waits(&mut waiting).await;
    done(&queues, &held).await;
    assert_eq!(numbers(&waiting.await), [2]);
}
