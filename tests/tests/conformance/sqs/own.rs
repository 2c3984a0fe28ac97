//! What only SQS has: messages of others, redrive policies, what is paid for, and what goes wrong on the way.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use millstream::{
    error::Class,
    queue::{
        DeadFilter, KeptLetter,
        QueueName::{Store, Transform, Validate},
        Queues, Span, SqsQueues, Verdict,
        sqs::{Outcome, create},
    },
};
use stages::frame::{Lane, Messages};
use tests::{Child, Ministack, REGION, Site, program};

use super::{Fifo, PREFIX, Sqs};
use crate::engine::{Engine, LANES, Limits, done, frame, numbers, publish, receive, settle};

impl Sqs {
    async fn url(&self, queue: &str) -> String {
        let found = self.client.get_queue_url().queue_name(format!("{PREFIX}{queue}")).send().await;
        found.expect("found").queue_url.expect("a URL")
    }

    /// Somebody else sends a message.
    async fn send(&self, queue: &str, body: &str) {
        let sent = self.client.send_message().queue_url(self.url(queue).await).message_body(body);
        sent.send().await.expect("sent");
    }
}

async fn letters(queues: &Queues) -> Vec<KeptLetter> {
    queues.dead_letters(DeadFilter::default(), Span::ALL).await.expect("listed")
}

#[tokio::test]
async fn sqs_plain_body_becomes_a_frame_of_one_message() {
    let engine = Fifo::start(Limits::default()).await;
    let queues = engine.queues();
    let topic = "devices/pump-7/telemetry";
    let body = format!(r#"{{"topic": "{topic}", "payload": {{"metrics": {{"a": 1.50}}}}}}"#);
    engine.0.send("validate", &body).await;
    publish(&queues, Validate, [frame(7, 0)]).await;
    let held = receive(&queues, Validate, queues.holder(), 9).await;
    let [plain, other] = &held[..] else { panic!("{held:?}") };
    assert_eq!(other.frame, frame(7, 0), "frames are beside it");
    assert_eq!((plain.frame.rows, plain.frame.lane), (1, Lane::of("pump-7", LANES)));
    let rows = plain.frame.bytes.frame().expect("a frame");
    assert_eq!(rows.header.id, plain.frame.id);
    let messages = Messages::of(&rows).expect("messages");
    let row = (messages.topics().get(0).expect("a topic"), messages.payload(0));
    assert_eq!(row, (topic, br#"{"metrics": {"a": 1.50}}"#.as_slice()));

    settle(&queues, plain, Verdict::Retry(Duration::ZERO)).await.expect("settled");
    let again = receive(&queues, Validate, queues.holder(), 9).await;
    assert_eq!((&again[0].frame, again[0].attempts), (&plain.frame, 1), "the same whenever it comes");
    done(&queues, &again).await;
}

#[tokio::test]
async fn sqs_message_that_is_no_frame_becomes_a_dead_letter_as_it_came() {
    let engine = Fifo::start(Limits::default()).await;
    let queues = engine.queues();
    let body = r#"{"topik": "devices/a/telemetry", "payload": 1}"#;
    for times in 1..=2 {
        if times == 1 {
            engine.0.send("validate", body).await;
        } else {
            let batch = queues.requeue(DeadFilter::default(), Span::ALL).await.expect("requeued");
            assert_eq!(batch.done[Validate as usize].letters, 1);
        }
        assert!(receive(&queues, Validate, queues.holder(), 9).await.is_empty());
        let kept = letters(&queues).await;
        let [letter] = &kept[..] else { panic!("{kept:?}") };
        assert!(letter.reason.contains("missing field `topic`"), "{}", letter.reason);
        assert_eq!((letter.queue, letter.rows, letter.attempts), (Validate, 1, 1));
        let (_, bytes) = queues.dead_letter(letter.letter).await.expect("read").expect("there");
        assert_eq!(bytes, body.as_bytes());
        let depth = queues.depth(Validate).await.expect("depth");
        assert_eq!((depth.frames, depth.dead), (0, 1));
    }
    engine.0.send("store", "{}").await;
    assert!(receive(&queues, Store, queues.holder(), 9).await.is_empty());
    let kept = letters(&queues).await;
    assert!(kept.iter().any(|letter| letter.reason.contains("no attribute frame")), "{kept:?}");
}

#[tokio::test]
async fn sqs_frame_that_its_redrive_policy_moves_is_a_dead_letter_without_a_reason() {
    let engine = Fifo::start(Limits::default()).await;
    let queues = engine.queues();
    let (url, name) = (engine.0.url("transform.fifo").await, QueueAttributeName::RedrivePolicy);
    let policy = engine.0.client.get_queue_attributes().queue_url(&url).attribute_names(name.clone());
    let policy = policy.send().await.expect("read").attributes.expect("there")[&name].clone();
    let soon = policy.replace(r#""100""#, r#""2""#);
    assert_ne!(policy, soon);
    let change = engine.0.client.set_queue_attributes().queue_url(&url).attributes(name, soon);
    change.send().await.expect("changed");

    publish(&queues, Transform, [frame(3, 1)]).await;
    for _ in 0..2 {
        let held = receive(&queues, Transform, queues.holder(), 9).await;
        settle(&queues, &held[0], Verdict::Retry(Duration::ZERO)).await.expect("settled");
    }
    assert!(receive(&queues, Transform, queues.holder(), 9).await.is_empty());
    let kept = letters(&queues).await;
    let [letter] = &kept[..] else { panic!("{kept:?}") };
    assert!(letter.reason.contains("could give no reason"), "{}", letter.reason);
    assert_eq!(
        (letter.queue, letter.lane, letter.frame, letter.rows),
        (Transform, Lane(1), frame(3, 1).id, 3)
    );
    queues.requeue(DeadFilter::default(), Span::ALL).await.expect("requeued");
    let held = receive(&queues, Transform, queues.holder(), 9).await;
    assert_eq!((&held[0].frame, held[0].attempts), (&frame(3, 1), 0));
}

#[tokio::test]
async fn sqs_queues_that_are_missing_are_named_with_the_way_out() {
    let engine = Fifo::start(Limits::default()).await;
    let url = engine.0.url("analyze-dead.fifo").await;
    engine.0.client.delete_queue().queue_url(url).send().await.expect("deleted");
    let opened = SqsQueues::open(engine.0.client.clone(), engine.0.options.clone()).await;
    let error = opened.err().expect("it is missing");
    assert_eq!(error.class(), Class::Fatal);
    let text = error.to_string();
    assert!(text.starts_with("there is no queue c-analyze-dead.fifo on SQS"), "{text}");
    assert!(text.contains("`millstream queues create`"), "{text}");
}

#[tokio::test]
async fn sqs_queues_that_are_there_are_left_as_they_are() {
    let engine = Fifo::start(Limits::default()).await;
    let mut options = engine.0.options.clone();
    let again = create(engine.0.client.clone(), &options).await.expect("looked at");
    assert_eq!(again.len(), 2 * (5 + options.webhooks.len()));
    assert!(again.iter().all(|queue| queue.outcome == Outcome::There), "{again:?}");

    options.retention = Duration::from_secs(3600);
    let again = create(engine.0.client.clone(), &options).await.expect("looked at");
    let store = again.iter().find(|queue| queue.name == "c-store").expect("there");
    let differs = Outcome::Differs(vec!["MessageRetentionPeriod is 345600, it would be 3600".into()]);
    assert_eq!(store.outcome, differs);
    let dead = again.iter().find(|queue| queue.name == "c-store-dead").expect("there");
    assert_eq!(dead.outcome, Outcome::There);
}

#[tokio::test]
async fn sqs_requests_are_counted_by_kind_and_by_what_is_paid_for() {
    let engine = Fifo::start(Limits::default()).await;
    let (queues, before) = (engine.queues(), engine.0.queues.requests());
    let frames = (1..=12).map(|number| crate::engine::sized(number, 0, 60_000));
    publish(&queues, Transform, frames).await;
    for expected in [10, 2, 0] {
        let held = receive(&queues, Transform, queues.holder(), 99).await;
        assert_eq!(held.len(), expected);
        queues.extend(crate::engine::receipts(&held)).await;
        done(&queues, &held).await;
    }
    queues.depth(Transform).await.expect("depth");
    let now = engine.0.queues.requests();
    let calls: Vec<_> = now.by_kind().into_iter().zip(before.by_kind()).collect();
    let calls: Vec<_> =
        calls.iter().map(|((kind, now), (_, then))| (*kind, now.calls - then.calls)).collect();
    let expected = [
        ("send", 2),
        ("receive", 2),
        ("empty_receive", 1),
        ("delete", 2),
        ("change_visibility", 2),
        ("get_attributes", 2),
        ("manage", 0),
    ];
    assert_eq!(calls, expected);
    // 80,000 bytes of base64 and attributes each.
    assert_eq!((now.send.chunks, now.receive.chunks, now.delete.chunks), (13 + 3, 13 + 3, 2));
}

#[tokio::test]
async fn sqs_that_cannot_be_reached_is_tried_again() {
    let engine = Fifo::start(Limits::default()).await;
    let Fifo(Sqs { server, queues, .. }) = engine;
    drop(server);
    let queues = Queues::Sqs(queues);
    let entry = crate::engine::entry(Store, frame(1, 0));
    let error = queues.publish(vec![entry]).await.remove(0).expect_err("nobody is there");
    assert_eq!(error.class(), Class::Retry);
    assert!(error.to_string().contains("SendMessageBatch on the queue c-store"), "{error}");
    assert!(queues.depth(Store).await.is_err());
}

#[tokio::test]
async fn sqs_takes_as_much_at_once_as_a_request_holds() {
    let engine = Fifo::start(Limits::default()).await;
    let queues = engine.queues();
    let frames = (1..=15).map(|number| crate::engine::sized(number, 0, 300_000));
    publish(&queues, Transform, frames).await;
    let mut all = Vec::new();
    while all.len() < 15 {
        let held = receive(&queues, Transform, queues.holder(), 99).await;
        assert!(!held.is_empty(), "only {all:?} came");
        all.extend(numbers(&held));
        done(&queues, &held).await;
    }
    assert_eq!(all, (1..=15).collect::<Vec<_>>());
}

#[test]
fn sqs_queues_are_made_and_looked_at_by_commands() {
    let server = Ministack::start();
    let place = format!("{{region: {REGION}, endpoint: '{}'}}", server.endpoint());
    let site = Site::new(&format!("queues:\n  engine: sqs\n  sqs: {place}\n"));
    let run = |arguments: &[&str]| {
        let mut command = program("millstream");
        command.args(arguments).arg("-c").arg(site.path("millstream.yaml")).envs(Ministack::environment());
        Child::start(command).ended()
    };
    let said = run(&["queues"]).with(1).err.join("\n");
    assert!(said.contains("there is no queue millstream-alert-dead.fifo, millstream-alert.fifo"), "{said}");
    for outcome in [": made", ": was there"] {
        let made = run(&["queues", "create"]).well().out;
        assert_eq!(made.len(), 10 + 1, "queues and the table: {made:?}");
        assert!(made.iter().all(|line| line.ends_with(outcome)), "{made:?}");
    }
    let table = run(&["queues"]).well().out;
    assert!(table.iter().any(|line| line.starts_with("validate ")), "{table:?}");
    assert_eq!(run(&["dead", "list"]).well().out, ["there are no such dead letters"]);
}
