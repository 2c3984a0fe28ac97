//! Q2 and Q3: a delivery is leased; a lease ends, is extended, or is lost.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    time::Duration,
};

use millstream::queue::{
    QueueName::{Transform, Validate},
    ReceiveLimits, Verdict,
};

use crate::engine::{
    Engine, Limits, NONE, await_frames, done, frame, is_lost, numbers, publish, receipts, receive, settle,
};

pub(crate) async fn conformance_q2_unsettled_delivery_is_handed_out_again_after_its_lease<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Validate, [frame(1, 0)]).await;
    let first = receive(&queues, Validate, queues.holder(), 1).await;
    engine.advance(E::LEASE + E::MOMENT).await;
    let second = receive(&queues, Validate, queues.holder(), 1).await;
    assert_eq!(numbers(&first), numbers(&second));
}

pub(crate) async fn conformance_q2_leased_frame_is_not_handed_out_twice<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let (queues, other) = (engine.queues(), engine.another_process().await);
    publish(&queues, Validate, [frame(1, 0)]).await;
    let holder = queues.holder();
    assert_eq!(numbers(&receive(&queues, Validate, holder, 1).await), [1]);
    engine.advance(E::LEASE - E::MOMENT).await;
    assert_eq!(numbers(&receive(&queues, Validate, holder, 1).await), NONE, "not even to its holder");
    assert_eq!(numbers(&receive(&queues, Validate, queues.holder(), 1).await), NONE);
    assert_eq!(numbers(&receive(&other, Validate, other.holder(), 1).await), NONE);
}

pub(crate) async fn conformance_q2_dead_owner_frees_its_leases_at_once<E: Engine>() {
    let mut engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Validate, [frame(1, 0)]).await;
    publish(&queues, Transform, [frame(2, 0), frame(3, 0)]).await;
    let held = receive(&queues, Validate, queues.holder(), 1).await;
    assert_eq!(numbers(&receive(&queues, Transform, queues.holder(), 1).await), [2]);

    engine.die().await;
    let successor = engine.queues();
    assert_eq!(numbers(&receive(&successor, Validate, successor.holder(), 10).await), [1]);
    assert_eq!(numbers(&receive(&successor, Transform, successor.holder(), 10).await), [2, 3]);
    assert!(is_lost(&settle(&queues, &held[0], Verdict::Done).await), "the former one was only asleep");
}

pub(crate) async fn conformance_q2_killed_process_frees_its_leases_at_once<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Transform, (1..=3).map(|number| frame(number, 0))).await;
    let mut child = engine.child("hold").stdout(Stdio::piped()).spawn().expect("queue-child");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert_eq!(lines.take(3).count(), 3, "the child holds all three");
    assert_eq!(numbers(&receive(&queues, Transform, queues.holder(), 10).await), NONE);

    child.kill().expect("killed");
    child.wait().expect("ended");
    assert_eq!(numbers(&await_frames(&queues, Transform, queues.holder()).await), [1, 2, 3]);
}

pub(crate) async fn conformance_q2_closing_gives_back_leases_uncounted<E: Engine>() {
    let mut engine = E::start(Limits::default()).await;
    publish(&engine.queues(), Validate, [frame(1, 0)]).await;
    for _ in 0..20 {
        let queues = engine.queues();
        let held = receive(&queues, Validate, queues.holder(), 1).await;
        assert_eq!(
            held.iter().map(|delivery| (delivery.attempts, delivery.suspect)).next(),
            Some((0, false))
        );
        drop(queues);
        engine.restart().await;
    }
}

pub(crate) async fn conformance_q2_receive_that_is_dropped_loses_nothing<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Transform, (1..=5).map(|number| frame(number, 0))).await;
    let limits = ReceiveLimits { frames: 1, bytes: 1 << 30, wait: Duration::ZERO };
    for _ in 0..50 {
        tokio::select! {
            biased;
            _ = queues.receive(Transform, queues.holder(), limits) => {}
            () = tokio::task::yield_now() => {}
        }
    }
    // One of them may have been answered in time and was not settled: its lease ends like any other.
    engine.advance(E::LEASE + E::MOMENT).await;
    let mut all = Vec::new();
    let holder = queues.holder();
    while all.len() < 5 {
        let next = await_frames(&queues, Transform, holder).await;
        assert!(!next.is_empty(), "only {all:?} came back");
        all.extend(numbers(&next));
        done(&queues, &next).await;
    }
    assert_eq!(all, [1, 2, 3, 4, 5]);
}

pub(crate) async fn conformance_q2_clock_that_is_put_back_holds_nothing_up<E: Engine>() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Transform, [frame(1, 0), frame(2, 1), frame(3, 2)]).await;
    let (sleeper, worker) = (queues.holder(), queues.holder());
    assert_eq!(numbers(&receive(&queues, Transform, sleeper, 1).await), [1]);
    let put_off = receive(&queues, Transform, worker, 1).await;
    settle(&queues, &put_off[0], Verdict::Retry(E::MOMENT)).await.expect("settled");
    let held = receive(&queues, Transform, worker, 1).await;
    assert_eq!(numbers(&held), [3]);

    engine.put_back(DAY).await;
    assert_eq!(numbers(&receive(&queues, Transform, queues.holder(), 1).await), NONE);
    for _ in 0..4 {
        engine.advance(E::LEASE - E::MOMENT).await;
        queues.extend(receipts(&held)).await.remove(0).expect("who works on it keeps it");
    }
    let mut freed = numbers(&receive(&queues, Transform, queues.holder(), 1).await);
    freed.extend(numbers(&receive(&queues, Transform, queues.holder(), 1).await));
    assert_eq!(freed, [1, 2], "a lease that nobody extends, and what was put off");
    done(&queues, &held).await;
}

pub(crate) async fn conformance_q3_extended_lease_lasts<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Validate, [frame(1, 0)]).await;
    let held = receive(&queues, Validate, queues.holder(), 1).await;
    for _ in 0..3 {
        engine.advance(E::LEASE - E::MOMENT).await;
        assert_eq!(queues.extend(receipts(&held)).await.len(), 1);
    }
    assert_eq!(numbers(&receive(&queues, Validate, queues.holder(), 1).await), NONE);
    done(&queues, &held).await;
}

pub(crate) async fn conformance_q3_lost_lease_settles_nothing<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Validate, [frame(1, 0)]).await;
    let lost = receive(&queues, Validate, queues.holder(), 1).await;
    engine.advance(E::LEASE + E::MOMENT).await;
    let held = receive(&queues, Validate, queues.holder(), 1).await;

    assert!(is_lost(&settle(&queues, &lost[0], Verdict::Done).await));
    assert!(is_lost(&settle(&queues, &lost[0], Verdict::Retry(Duration::ZERO)).await));
    assert!(is_lost(&settle(&queues, &lost[0], Verdict::Dead("no".into())).await));
    assert!(is_lost(&queues.extend(receipts(&lost)).await[0]));
    let depth = queues.depth(Validate).await.expect("depth");
    assert_eq!((depth.frames, depth.in_flight, depth.dead), (1, 1, 0));
    done(&queues, &held).await;
}

pub(crate) async fn conformance_q3_settled_receipt_settles_nothing_more<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Validate, [frame(1, 0)]).await;
    let held = receive(&queues, Validate, queues.holder(), 1).await;
    done(&queues, &held).await;
    // The next frame may well stand where the first one stood.
    publish(&queues, Validate, [frame(2, 0)]).await;
    let next = receive(&queues, Validate, queues.holder(), 1).await;
    assert!(is_lost(&settle(&queues, &held[0], Verdict::Done).await));
    done(&queues, &next).await;
}
