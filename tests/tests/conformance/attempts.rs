//! Q5: what counts as an attempt, and how a frame ends as a dead letter.

use std::time::Duration;

use millstream::queue::{
    Delivery,
    QueueName::{Store, Transform, Validate},
    Verdict,
};

use crate::engine::{Engine, Limits, MAX_ATTEMPTS, NONE, frame, is_lost, numbers, publish, receive, settle};

pub(crate) async fn conformance_q5_retry_counts<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    for queue in [Validate, Transform] {
        publish(&queues, queue, [frame(1, 0)]).await;
        for attempts in 0..3 {
            let held = receive(&queues, queue, queues.holder(), 1).await;
            assert_eq!(held[0].attempts, attempts);
            settle(&queues, &held[0], Verdict::Retry(Duration::ZERO)).await.expect("settled");
        }
    }
}

pub(crate) async fn conformance_q5_later_waits_like_a_retry_but_does_not_count<E: Engine>() {
    const WAIT: Duration = Duration::from_secs(10);
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    for queue in [Validate, Transform] {
        publish(&queues, queue, [frame(1, 0)]).await;
        let held = receive(&queues, queue, queues.holder(), 1).await;
        settle(&queues, &held[0], Verdict::Retry(Duration::ZERO)).await.expect("settled");
        for wait in [Duration::ZERO, WAIT, WAIT] {
            let held = receive(&queues, queue, queues.holder(), 1).await;
            assert_eq!(held[0].attempts, 1);
            settle(&queues, &held[0], Verdict::Later(wait)).await.expect("settled");
            assert!(is_lost(&settle(&queues, &held[0], Verdict::Done).await), "its lease is over");
            if !wait.is_zero() {
                assert_eq!(numbers(&receive(&queues, queue, queues.holder(), 1).await), NONE);
                engine.advance(wait).await;
            }
        }
        assert_eq!(receive(&queues, queue, queues.holder(), 1).await[0].attempts, 1);
    }
}

pub(crate) async fn conformance_q5_lost_run_does_not_count<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Transform, (1..=3).map(|number| frame(number, 0))).await;
    for _ in 0..3 {
        let run = receive(&queues, Transform, queues.holder(), 3).await;
        assert_eq!(numbers(&run), [1, 2, 3]);
        assert!(run.iter().all(|delivery| delivery.attempts == 0));
        engine.advance(E::LEASE).await;
    }
}

pub(crate) async fn conformance_q5_dead_letter_leaves_the_queue_and_is_counted<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Store, [frame(1, 0), frame(2, 0)]).await;
    let held = receive(&queues, Store, queues.holder(), 1).await;
    settle(&queues, &held[0], Verdict::Dead("it cannot be read".into())).await.expect("settled");
    let depth = queues.depth(Store).await.expect("depth");
    assert_eq!((depth.frames, depth.dead), (1, 1));
    assert_eq!(numbers(&receive(&queues, Store, queues.holder(), 9).await), [2]);
}

pub(crate) async fn conformance_q5_dead_letter_is_counted_with_its_rows<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Store, [frame(1, 0), frame(2, 0)]).await;
    let held = receive(&queues, Store, queues.holder(), 1).await;
    settle(&queues, &held[0], Verdict::Dead("it cannot be read".into())).await.expect("settled");
    let depth = queues.depth(Store).await.expect("depth");
    assert_eq!((depth.rows, depth.bytes, depth.dead_rows, depth.dead_bytes), (2, 100, 1, 100));
}

pub(crate) async fn conformance_q5_frame_that_brings_holders_down_ends_alone_and_dead<E: Engine>() {
    const POISON: u32 = 20;
    for queue in [Validate, Transform] {
        let mut engine = E::start(Limits::default()).await;
        publish(&engine.queues(), queue, (1..=40).map(|number| frame(number, 0))).await;
        let mut settled = Vec::new();
        for deaths in 0.. {
            assert!(deaths < 50, "the poison is still there after {deaths} deaths");
            let queues = engine.queues();
            let holder = queues.holder();
            if !work_until_poison(&queues, queue, holder, POISON, &mut settled).await {
                break;
            }
            engine.die().await;
        }
        let depth = engine.queues().depth(queue).await.expect("depth");
        assert_eq!((depth.frames, depth.dead), (0, 1), "only the poison is dead");
        assert_eq!(settled.len(), 39, "all others were worked on");
    }
}

/// Settles frames run by run; true when one of a run brings the process down before any is settled.
async fn work_until_poison(
    queues: &millstream::queue::Queues,
    queue: millstream::queue::QueueName,
    holder: millstream::queue::Holder,
    poison: u32,
    settled: &mut Vec<u32>,
) -> bool {
    loop {
        let run: Vec<Delivery> = receive(queues, queue, holder, 100).await;
        if run.is_empty() {
            return false;
        }
        if numbers(&run).contains(&poison) {
            assert!(run.iter().all(|delivery| delivery.attempts <= MAX_ATTEMPTS));
            return true;
        }
        settled.extend(numbers(&run));
        crate::engine::done(queues, &run).await;
    }
}

pub(crate) async fn conformance_q5_ten_restarts_make_no_dead_letter<E: Engine>() {
    let mut engine = E::start(Limits::default()).await;
    publish(&engine.queues(), Store, [frame(1, 0)]).await;
    for _ in 0..10 {
        let queues = engine.queues();
        assert_eq!(numbers(&receive(&queues, Store, queues.holder(), 9).await), [1]);
        engine.die().await;
    }
    let queues = engine.queues();
    assert_eq!(numbers(&receive(&queues, Store, queues.holder(), 9).await), [1], "an innocent frame is kept");
}
