//! Q6, Q7 and Q8: repeats, bytes, and what one bad entry does to the others.

use millstream::queue::{
    Commit, NumberedDelta, QueueError,
    QueueName::{Analyze, Store, Transform, Validate},
    Queues, Verdict,
};
use stages::{frame::Lane, plan::Counts};

use crate::engine::{
    DEDUPE_WINDOW, Engine, LANES, Limits, NONE, done, entry, frame, is_lost, numbers, publish, receive,
    receive_all, sized,
};

pub(crate) async fn conformance_q6_repeated_id_adds_nothing<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let (queues, other) = (engine.queues(), engine.another_process().await);
    publish(&queues, Validate, [frame(1, 0), frame(1, 0)]).await;
    publish(&other, Validate, [frame(1, 0)]).await;
    let held = receive(&queues, Validate, queues.holder(), 9).await;
    assert_eq!(numbers(&held), [1]);
    done(&queues, &held).await;
    engine.advance(DEDUPE_WINDOW * 9 / 10).await;
    publish(&queues, Validate, [frame(1, 0)]).await;
    assert_eq!(
        numbers(&receive(&queues, Validate, queues.holder(), 9).await),
        NONE,
        "also once it is settled"
    );
    assert_eq!(queues.depth(Validate).await.expect("depth").frames, 0);
}

pub(crate) async fn conformance_q6_repeated_id_adds_nothing_to_an_ordered_queue<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let (queues, other) = (engine.queues(), engine.another_process().await);
    publish(&queues, Transform, [frame(1, 0), frame(1, 0)]).await;
    publish(&other, Transform, [frame(1, 0)]).await;
    let held = receive(&queues, Transform, queues.holder(), 9).await;
    assert_eq!(numbers(&held), [1]);
    done(&queues, &held).await;
    publish(&queues, Transform, [frame(1, 0)]).await;
    assert_eq!(queues.depth(Transform).await.expect("depth").frames, 0, "also once it is settled");
}

pub(crate) async fn conformance_q6_repeated_id_counts_again_after_the_window<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    for _ in 0..4 {
        publish(&queues, Validate, (1..=9).map(|number| frame(number, 0))).await;
        let held = receive(&queues, Validate, queues.holder(), 9).await;
        assert_eq!(held.len(), 9);
        done(&queues, &held).await;
        engine.advance(DEDUPE_WINDOW).await;
    }
}

pub(crate) async fn conformance_q6_repeated_id_in_another_queue_is_another_frame<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    for queue in [Validate, Store] {
        publish(&queues, queue, [frame(1, 0)]).await;
        assert_eq!(numbers(&receive(&queues, queue, queues.holder(), 9).await), [1]);
    }
}

pub(crate) async fn conformance_q6_repeated_commit_is_counted_once<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    let counts = Counts { consumed: 2, produced: 2, quarantined: 3, ..Counts::default() };
    let intake = Commit {
        publish: vec![entry(Validate, frame(2, 0)), entry(Store, frame(3, 0))],
        counts: vec![("ingest", counts)],
        ..Commit::default()
    };
    // As if the answer to the first one had been lost.
    for _ in 0..2 {
        queues.commit(vec![intake.clone()]).await.remove(0).expect("committed");
    }
    assert_eq!(queues.books().await.expect("books")["ingest"], counts);
    assert_eq!(queues.audit(true).await.expect("audited").mistakes(), [""; 0]);
}

pub(crate) async fn conformance_q7_bytes_come_back_as_they_went_in<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    let mut sent: Vec<_> = (1..)
        .zip([1, 2, 4000, 4096, 65_537, E::FRAME_BYTES_MAX])
        .map(|(n, size)| sized(n, 3, size))
        .collect();
    for frame in &mut sent {
        // Every byte value, in an order that a lost or repeated page would disturb.
        frame.bytes = (0..frame.bytes.len()).map(|at| (at % 251) as u8).collect();
    }
    publish(&queues, Store, sent.clone()).await;
    let held = receive(&queues, Store, queues.holder(), 99).await;
    let received: Vec<_> = held.into_iter().map(|delivery| delivery.frame).collect();
    assert!(received == sent, "ids, lanes, rows and bytes are the same");
}

/// No frame is, but an engine may well keep it.
pub(crate) async fn conformance_q7_frame_without_bytes_is_taken<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Store, [sized(1, 3, 0)]).await;
    assert_eq!(receive(&queues, Store, queues.holder(), 9).await[0].frame, sized(1, 3, 0));
}

pub(crate) async fn conformance_q7_too_large_is_refused_before_sending<E: Engine>() {
    let limits = Limits { frame_bytes_max: 1000, ..Limits::default() };
    let engine = E::start(limits).await;
    let queues = engine.queues();
    let answers = queues.publish(vec![entry(Validate, sized(1, 0, 1001))]).await;
    assert!(matches!(answers[..], [Err(QueueError::TooLarge { bytes: 1001, max: 1000, .. })]), "{answers:?}");
    assert_eq!(queues.depth(Validate).await.expect("depth").frames, 0);
}

pub(crate) async fn conformance_q8_bad_entry_of_a_publish_fails_alone<E: Engine>() {
    let limits = Limits { frame_bytes_max: 1000, ..Limits::default() };
    let engine = E::start(limits).await;
    let queues = engine.queues();
    let frames = [frame(1, 0), sized(2, 0, 1001), frame(3, LANES), frame(4, LANES - 1)];
    let answers = queues.publish(frames.map(|frame| entry(Validate, frame)).into()).await;
    assert!(
        matches!(
            answers[..],
            [Ok(()), Err(QueueError::TooLarge { .. }), Err(QueueError::Lane { .. }), Ok(())]
        ),
        "{answers:?}"
    );
    assert_eq!(numbers(&receive(&queues, Validate, queues.holder(), 9).await), [1, 4]);
}

pub(crate) async fn conformance_q8_lost_receipt_of_a_settle_fails_alone<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Validate, (1..=2).map(|number| frame(number, 0))).await;
    let lost = receive(&queues, Validate, queues.holder(), 1).await;
    engine.advance(E::LEASE).await;
    let held = receive(&queues, Validate, queues.holder(), 9).await;
    assert_eq!(numbers(&held), [1, 2]);

    let receipts = [&held[0], &lost[0], &held[1]].map(|delivery| delivery.receipt.clone());
    let extended = queues.extend(receipts.to_vec()).await;
    assert_eq!(extended.iter().map(is_lost).collect::<Vec<_>>(), [false, true, false]);
    let settled = queues.settle(receipts.map(|receipt| (receipt, Verdict::Done)).to_vec()).await;
    assert_eq!(settled.iter().map(is_lost).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(queues.depth(Validate).await.expect("depth").frames, 0);
}

/// Commits of three lanes, of which the second follows no state that there is; and its lane.
async fn fenced_in_the_middle(queues: &Queues) -> (Vec<Commit>, Lane) {
    publish(queues, Transform, (0..3).map(|lane| frame(u32::from(lane) + 1, lane))).await;
    let (mut commits, mut lanes) = (Vec::new(), Vec::new());
    for number in [1, 7, 1] {
        let held = receive(queues, Transform, queues.holder(), 1).await;
        let lane = held[0].frame.lane;
        lanes.push(lane);
        commits.push(Commit {
            receipts: vec![held[0].receipt.clone()],
            publish: vec![entry(Analyze, frame(100 + u32::from(lane.0), lane.0))],
            deltas: vec![NumberedDelta {
                stage: "transform",
                lane,
                number,
                bytes: vec![1],
                snapshot: None,
                applied: Vec::new(),
            }],
            ..Commit::default()
        });
    }
    (commits, lanes[1])
}

pub(crate) async fn conformance_q8_fenced_commit_fails_alone<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    let (commits, fenced) = fenced_in_the_middle(&queues).await;
    let answers = queues.commit(commits).await;
    let [Ok(()), Err(QueueError::Fenced { lane, number: 7, last: 0, .. }), Ok(())] = answers[..] else {
        panic!("{answers:?}")
    };
    assert_eq!(lane, fenced);
    let depth = queues.depth(Transform).await.expect("depth");
    assert_eq!((depth.frames, depth.in_flight), (1, 1), "the fenced one's frame is still held");
    for lane in [0, 1, 2].map(Lane) {
        let loaded = engine.state().load("transform", lane, None).await.expect("loaded");
        assert_eq!(loaded.number, u64::from(lane != fenced));
    }
}

pub(crate) async fn conformance_q8_fenced_commit_publishes_nothing<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    let (commits, fenced) = fenced_in_the_middle(&queues).await;
    queues.commit(commits).await;
    let others = (0..3).filter(|lane| *lane != fenced.0).map(|lane| 100 + u32::from(lane));
    let mut published = receive_all(&queues, Analyze).await;
    published.sort_unstable();
    assert_eq!(published, others.collect::<Vec<_>>());
}
