//! Q1: what is acknowledged survives.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use millstream::queue::QueueName::Validate;

use crate::engine::{Engine, Limits, done, frame, numbers, publish, receive, receive_all};

pub(crate) async fn conformance_q1_acknowledged_frames_survive_kill_9<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let mut child = engine.child("publish").stdout(Stdio::piped()).spawn().expect("queue-child");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let told: Vec<String> = lines.by_ref().take(200).collect::<Result<_, _>>().expect("lines");
    child.kill().expect("killed");
    child.wait().expect("ended");
    let acknowledged: Vec<u32> = told
        .into_iter()
        .chain(lines.map_while(Result::ok))
        .map(|line| line.parse().expect("a number"))
        .collect();

    let queues = engine.queues();
    let mut stored = receive_all(&queues, Validate).await;
    stored.sort_unstable();
    assert!(acknowledged.len() >= 200);
    assert_eq!(stored.get(..acknowledged.len()), Some(acknowledged.as_slice()), "each once");
    assert!(stored.len() <= acknowledged.len() + 1, "at most the one that was not yet told");
}

/// Also where no order is asked for.
pub(crate) async fn conformance_q1_frames_come_in_the_order_of_their_publisher<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    for number in 1..=200 {
        publish(&queues, Validate, [frame(number, 0)]).await;
    }
    assert_eq!(receive_all(&queues, Validate).await, (1..=200).collect::<Vec<_>>());
}

pub(crate) async fn conformance_q1_settled_frames_stay_settled_after_a_restart<E: Engine>() {
    let mut engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Validate, (1..=3).map(|number| frame(number, 0))).await;
    done(&queues, &receive(&queues, Validate, queues.holder(), 1).await).await;
    drop(queues);

    engine.restart().await;
    let queues = engine.queues();
    assert_eq!(numbers(&receive(&queues, Validate, queues.holder(), 10).await), [2, 3]);
}
