//! Q4: ordered and unordered queues.

use std::{collections::BTreeMap, time::Duration};

use millstream::queue::{
    Delivery, Holder,
    QueueName::{self, Alert, Analyze, Notify, Store, Transform, Validate},
    Queues, ReceiveLimits, Verdict,
};
use stages::frame::Lane;

use crate::engine::{Engine, Limits, NONE, done, frame, is_lost, numbers, publish, receive, settle, sized};

const ORDERED: [QueueName; 3] = [Transform, Analyze, Alert];
const UNORDERED: [QueueName; 3] = [Validate, Store, Notify];

pub(crate) async fn conformance_q4_lane_goes_to_one_holder_in_order<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let (queues, other) = (engine.queues(), engine.another_process().await);
    for queue in ORDERED {
        publish(&queues, queue, (1..=4).map(|number| frame(number, 2))).await;
        let (one, two, three) = (queues.holder(), queues.holder(), other.holder());
        let first = receive(&queues, queue, one, 2).await;
        assert_eq!(numbers(&first), [1, 2]);
        assert_eq!(numbers(&receive(&queues, queue, two, 2).await), NONE);
        assert_eq!(numbers(&receive(&other, queue, three, 2).await), NONE);
        done(&queues, &first).await;
        assert_eq!(numbers(&receive(&other, queue, three, 2).await), [3, 4], "free again");
    }
}

pub(crate) async fn conformance_q4_run_keeps_to_limits_and_to_one_lane<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    let frames = (1..=10).map(|number| sized(number, u16::from(number % 2 == 0), 1000));
    publish(&queues, Transform, frames).await;
    let (one, two) = (queues.holder(), queues.holder());
    assert_eq!(numbers(&receive(&queues, Transform, one, 3).await), [1, 3, 5]);
    let bytes = ReceiveLimits { frames: 10, bytes: 2500, wait: Duration::ZERO };
    let run = queues.receive(Transform, two, bytes).await.expect("received");
    assert_eq!(numbers(&run), [2, 4], "2500 bytes hold two frames of 1000");
    done(&queues, &run).await;
    let narrow = ReceiveLimits { frames: 10, bytes: 1, wait: Duration::ZERO };
    let run = queues.receive(Transform, two, narrow).await.expect("received");
    assert_eq!(numbers(&run), [6], "one frame, however large");
}

async fn receive_runs(queues: &Queues, queue: QueueName, holder: Holder, frames: usize) -> Vec<Delivery> {
    let limits = ReceiveLimits { frames, bytes: 1 << 20, wait: Duration::ZERO };
    queues.receive_runs(queue, holder, limits).await.expect("received")
}

pub(crate) async fn conformance_q4_runs_of_several_lanes_come_at_once<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    let lanes = [2, 0, 1, 2, 0, 1];
    publish(&queues, Transform, (1..).zip(lanes).map(|(number, lane)| frame(number, lane))).await;
    let (one, two, three) = (queues.holder(), queues.holder(), queues.holder());
    let first = receive_runs(&queues, Transform, one, 3).await;
    assert_eq!(numbers(&first), [1, 4, 2], "lane after lane, the oldest frame first, up to the limit");
    let second = receive_runs(&queues, Transform, two, 9).await;
    assert_eq!(numbers(&second), [3, 6], "no lane that another holds");
    assert_eq!(numbers(&receive_runs(&queues, Transform, three, 9).await), NONE);
    settle(&queues, &first[0], Verdict::Retry(E::MOMENT)).await.expect("settled");
    assert!(is_lost(&settle(&queues, &first[1], Verdict::Done).await), "it went back with the one before it");
    assert_eq!(
        numbers(&receive_runs(&queues, Transform, three, 9).await),
        NONE,
        "one lane waits, the others are held"
    );
    done(&queues, &first[2..]).await;
    assert_eq!(numbers(&receive_runs(&queues, Transform, three, 9).await), [5], "free again");
}

pub(crate) async fn conformance_q4_holder_may_take_the_next_run_of_its_lane<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Transform, (1..=4).map(|number| frame(number, 0))).await;
    let holder = queues.holder();
    let first = receive(&queues, Transform, holder, 2).await;
    let second = receive(&queues, Transform, holder, 2).await;
    assert_eq!((numbers(&first), numbers(&second)), (vec![1, 2], vec![3, 4]));
    done(&queues, &first).await;
    done(&queues, &second).await;
}

pub(crate) async fn conformance_q4_lane_with_the_oldest_frame_comes_first<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    let lanes = [3, 1, 0, 1, 3, 2];
    publish(&queues, Analyze, (1..).zip(lanes).map(|(number, lane)| frame(number, lane))).await;
    let mut order = Vec::new();
    for _ in 0..4 {
        order.push(numbers(&receive(&queues, Analyze, queues.holder(), 10).await));
    }
    assert_eq!(order, [vec![1, 5], vec![2, 4], vec![3], vec![6]]);
}

pub(crate) async fn conformance_q4_retry_gives_back_all_after_it_and_holds_the_lane<E: Engine>() {
    const WAIT: Duration = Duration::from_secs(10);
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Transform, (1..=4).map(|number| frame(number, 0)).chain([frame(5, 1)])).await;
    let holder = queues.holder();
    let run = receive(&queues, Transform, holder, 3).await;
    settle(&queues, &run[1], Verdict::Retry(WAIT)).await.expect("settled");

    assert!(is_lost(&settle(&queues, &run[2], Verdict::Done).await), "given back with the one before it");
    done(&queues, &run[..1]).await;
    let other = receive(&queues, Transform, queues.holder(), 9).await;
    assert_eq!(numbers(&other), [5], "other lanes go on");
    done(&queues, &other).await;
    assert_eq!(numbers(&receive(&queues, Transform, holder, 9).await), NONE, "the lane waits");
    engine.advance(WAIT - E::MOMENT).await;
    assert_eq!(numbers(&receive(&queues, Transform, holder, 9).await), NONE, "for all of the time");
    engine.advance(E::MOMENT).await;
    assert_eq!(numbers(&receive(&queues, Transform, queues.holder(), 9).await), [2, 3, 4]);
}

pub(crate) async fn conformance_q4_dead_lets_the_lane_go_on<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Alert, (1..=3).map(|number| frame(number, 0))).await;
    let holder = queues.holder();
    let run = receive(&queues, Alert, holder, 2).await;
    settle(&queues, &run[0], Verdict::Dead("unreadable".into())).await.expect("settled");
    done(&queues, &run[1..]).await;
    assert_eq!(numbers(&receive(&queues, Alert, queues.holder(), 9).await), [3]);
}

pub(crate) async fn conformance_q4_lost_lease_gives_back_all_after_it<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Transform, (1..=4).map(|number| frame(number, 0))).await;
    let holder = queues.holder();
    let first = receive(&queues, Transform, holder, 2).await;
    engine.advance(E::LEASE / 2).await;
    let second = receive(&queues, Transform, holder, 1).await;
    assert_eq!(numbers(&second), [3]);
    engine.advance(E::LEASE / 2 + E::MOMENT).await;

    // The first run's leases are over, the second's are not: yet 3 must not be settled before 1 and 2.
    let again = receive(&queues, Transform, queues.holder(), 9).await;
    assert_eq!(numbers(&again), [1, 2, 3, 4]);
    for lost in first.iter().chain(&second) {
        assert!(is_lost(&settle(&queues, lost, Verdict::Done).await));
    }
}

/// As far as any engine says which lanes come first.
pub(crate) async fn conformance_q4_lanes_do_not_wait_for_each_other<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let (queues, other) = (engine.queues(), engine.another_process().await);
    publish(&queues, Transform, (1..=9).map(|number| frame(number, (number % 3) as u16))).await;
    let mut seen: BTreeMap<u16, Vec<u32>> = BTreeMap::new();
    let mut received = 0;
    while received < 9 {
        let run = receive(&other, Transform, other.holder(), 2).await;
        assert!(!run.is_empty(), "only {seen:?} came");
        received += run.len();
        for delivery in &run {
            seen.entry(delivery.frame.lane.0).or_default().push(delivery.frame.rows);
        }
        done(&other, &run).await;
    }
    let expected = [(0, vec![3, 6, 9]), (1, vec![1, 4, 7]), (2, vec![2, 5, 8])];
    assert_eq!(seen, BTreeMap::from(expected), "each lane in its order");
}

pub(crate) async fn conformance_q4_unordered_queue_hands_a_lane_to_many_holders<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    for queue in UNORDERED {
        publish(&queues, queue, (1..=4).map(|number| frame(number, 0))).await;
        let first = receive(&queues, queue, queues.holder(), 2).await;
        let second = receive(&queues, queue, queues.holder(), 2).await;
        assert_eq!((numbers(&first), numbers(&second)), (vec![1, 2], vec![3, 4]));
    }
}

pub(crate) async fn conformance_q4_unordered_retry_does_not_hold_the_others<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Store, (1..=3).map(|number| frame(number, 0))).await;
    let holder = queues.holder();
    let run = receive(&queues, Store, holder, 2).await;
    settle(&queues, &run[0], Verdict::Retry(Duration::from_secs(10))).await.expect("settled");
    done(&queues, &run[1..]).await;
    let last = receive(&queues, Store, holder, 9).await;
    assert_eq!(numbers(&last), [3]);
    done(&queues, &last).await;
    engine.advance(Duration::from_secs(10)).await;
    assert_eq!(numbers(&receive(&queues, Store, holder, 9).await), [1]);
}

/// Lanes of `notify`: its own, not those of devices.
const OPS: u16 = 7;
const LOG: u16 = 60_000;

async fn receive_lane(queues: &Queues, lane: u16) -> Vec<Delivery> {
    let limits = ReceiveLimits { frames: 9, bytes: 1 << 30, wait: Duration::ZERO };
    queues.receive_lane(Notify, Lane(lane), queues.holder(), limits).await.expect("received")
}

pub(crate) async fn conformance_q4_lanes_of_notify_are_received_by_themselves<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Notify, [frame(1, OPS), frame(2, OPS), frame(3, LOG), frame(4, OPS)]).await;
    let log = receive_lane(&queues, LOG).await;
    assert_eq!(numbers(&log), [3], "whatever waits in other lanes");
    let ops = receive_lane(&queues, OPS).await;
    assert_eq!(numbers(&ops), [1, 2, 4]);
    settle(&queues, &ops[0], Verdict::Retry(Duration::from_secs(10))).await.expect("settled");
    settle(&queues, &ops[1], Verdict::Retry(Duration::ZERO)).await.expect("settled");
    assert_eq!(numbers(&receive_lane(&queues, OPS).await), [2], "what is put off holds nothing up");
    assert_eq!(queues.depth(Notify).await.expect("depth").frames, 4, "of all lanes");
}

pub(crate) async fn conformance_q4_what_is_put_off_is_not_in_flight<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Notify, [frame(1, OPS), frame(2, OPS), frame(3, LOG), frame(4, OPS)]).await;
    receive_lane(&queues, LOG).await;
    let ops = receive_lane(&queues, OPS).await;
    settle(&queues, &ops[0], Verdict::Retry(Duration::from_secs(10))).await.expect("settled");
    let depth = queues.depth(Notify).await.expect("depth");
    assert_eq!((depth.frames, depth.in_flight), (4, 3), "of all lanes");
}

pub(crate) async fn conformance_q4_lanes_of_notify_can_begin_anew<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Notify, [frame(1, OPS), frame(2, OPS), frame(3, LOG), frame(4, LOG)]).await;
    for lane in [OPS, LOG] {
        for delivery in receive_lane(&queues, lane).await {
            settle(&queues, &delivery, Verdict::Retry(Duration::from_secs(60))).await.expect("settled");
        }
    }
    let given_up = queues.keep_lanes(Notify, vec![Lane(OPS)], "nobody is there".into()).await;
    assert_eq!(given_up.expect("kept"), 2);
    assert_eq!(numbers(&receive_lane(&queues, OPS).await), [1, 2], "in the order of publishing");
    assert_eq!(queues.depth(Notify).await.expect("depth").dead, 2);
}
