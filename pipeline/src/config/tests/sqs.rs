//! Queues on SQS.

use super::*;

#[cfg(not(feature = "sqs"))]
#[test]
fn sqs_needs_a_build_with_it() {
    let text = "this millstream is built without SQS; build it with --features sqs, or set engine to sqlite";
    check(&[("queues: {engine: sqs}\n", &[&format!("1:18: queues.engine: {text}")])]);
}

#[cfg(feature = "sqs")]
#[test]
fn sqs_takes_what_its_queues_can_do() {
    check(&[
        ("queues: {engine: sqs}\n", &[]),
        (
            "queues:\n  engine: sqs\n  lease_secs: 1\n",
            &["3:15: queues.lease_secs: 1 is too short for SQS; take 2 or more"],
        ),
        (
            "queues:\n  engine: sqs\n  frame_bytes_max: 704513\n",
            &[
                "3:20: queues.frame_bytes_max: 704513 is more than one message of SQS holds; take 704512 or less, or leave it out",
            ],
        ),
        (
            "queues: {engine: sqs}\ningest:\n  listener: {packet_bytes_max: 704513}\n",
            &[
                "3:32: ingest.listener.packet_bytes_max: 704513 is more than queues.frame_bytes_max (704512); a message must fit into a frame",
            ],
        ),
        (
            "queues: {engine: sqs}\ningest:\n  subscriber: {packet_bytes_max: 1048576}\n",
            &[
                "3:34: ingest.subscriber.packet_bytes_max: 1048576 is more than queues.frame_bytes_max (704512); a message must fit into a frame",
            ],
        ),
        ("queues: {engine: sqs}\ningest: {subscriber: {}, frame_bytes_max: 33554432}\n", &[]),
        (
            "queues: {engine: sqs}\ngroups: [[validate, transform]]\n",
            &["2:1: groups: SQS does not tell whether the queues within a hop are dry; leave groups out"],
        ),
        (
            "queues:\n  engine: sqs\n  sqs: {prefix: plant.7}\n",
            &[
                "3:17: queues.sqs.prefix: SQS takes no queue \"plant.7validate\": such a name has letters, digits, - and _, and up to 70 of them",
            ],
        ),
        (
            "queues: {engine: sqs}\nnotify:\n  webhooks:\n    - {name: on call, url: 'http://h'}\n",
            &[
                "4:14: notify.webhooks[0].name: SQS takes no queue \"millstream-notify-on call\": such a name has letters, digits, - and _, and up to 70 of them",
            ],
        ),
    ]);
}

#[cfg(feature = "sqs")]
#[test]
fn sqs_warns_of_what_it_does_not_keep() {
    let folder = folder();
    let warnings = |yaml: &str| -> Vec<String> {
        let config = read(folder.path(), yaml).unwrap();
        config.warnings().iter().map(ToString::to_string).collect()
    };
    assert_eq!(warnings("queues: {engine: sqs}"), [""; 0]);
    assert_eq!(warnings("queues: {sqs: {fifo: false}, queue_bytes_max: 8388608}"), [""; 0]);
    let said = warnings(
        "queues: {engine: sqs, sqs: {fifo: false}, queue_bytes_max: 8388608, dedupe_window_secs: 5}\nnotify: {dead_bytes_max: 65536}",
    );
    let places: Vec<_> = said.iter().map(|line| line.split(": ").nth(1).unwrap_or_default()).collect();
    let expected =
        ["queues.sqs.fifo", "queues.queue_bytes_max", "notify.dead_bytes_max", "queues.dedupe_window_secs"];
    let mut sorted = (places.clone(), expected);
    sorted.0.sort_unstable();
    sorted.1.sort_unstable();
    assert_eq!(sorted.0, sorted.1, "{said:?}");
    assert_eq!(
        warnings("queues:\n  engine: sqs\n  sqs: {tick_hold_secs: 29}"),
        [
            "m.yaml:3:25: queues.sqs.tick_hold_secs: 29 is less than queues.lease_secs (30): time is told before a frame comes back whose holder died, and its rows come late"
        ]
    );
}

#[cfg(feature = "sqs")]
#[test]
fn sqs_closes_frames_by_what_is_paid_for() {
    use crate::{ingest::Paid, queue::sqs::FRAME_BYTES_MAX};
    let folder = folder();
    let options = |yaml: &str| {
        let config = read(folder.path(), yaml).unwrap();
        let (packer, queues) = (config.packer_options(), config.sqs_options());
        (packer.paid, packer.linger.as_millis(), queues.frame_bytes_max)
    };
    let paid = |frame_bytes, millis| {
        Some(Paid { frame_bytes, linger_awaited: std::time::Duration::from_millis(millis) })
    };
    let (full, of_sqs) = (paid(FRAME_BYTES_MAX, 100), "queues: {engine: sqs}\n");
    assert_eq!(options(of_sqs), (full, 1000, FRAME_BYTES_MAX));
    let (_, shorter, _) = options(&format!("{of_sqs}ingest: {{linger_ms: 20}}\n"));
    assert_eq!(shorter, 20);
    // 150,000 bytes of rows and what the format adds: four chunks.
    let limited =
        "queues: {engine: sqs, frame_bytes_max: 150000}\ningest: {listener: {packet_bytes_max: 9999}}\n";
    assert_eq!(options(limited), (paid(196_524, 100), 1000, 217_879));
    assert_eq!(options("lanes: 2").0, None);
}

/// What no queue takes must not come in: ingest could neither publish nor refuse it.
#[cfg(feature = "sqs")]
#[test]
fn sqs_takes_the_largest_packet_as_a_frame() {
    use crate::queue::{EncodedFrame, sqs::FRAME_BYTES_MAX};
    use stages::frame::{FrameId, Header, Kind, Lane, Message, MessagesBuilder};
    let next = |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    let noise: Vec<u8> = std::iter::successors(Some(1), next)
        .flat_map(|state| state.to_be_bytes()[..4].to_vec())
        .take(topology::SQS_FRAME_BYTES_MAX as usize)
        .collect();
    let text: String = noise.iter().map(|byte| char::from(byte % 94 + 33)).collect();
    let mut rows = MessagesBuilder::default();
    rows.append(&Message {
        message: 1,
        topic: &text[..60_000],
        payload: &noise[60_000..],
        received_at: 1,
        client_id: &text[60_000..120_000],
        properties: &[],
        replays: 0,
    });
    let id = FrameId([1; 16]);
    let header = Header { id, kind: Kind::Messages, lane: Lane(0), created_at: 0, epoch: 1, trace: None };
    let frame = EncodedFrame::of(&rows.finish(header).unwrap()).unwrap();
    assert!(frame.bytes.len() <= FRAME_BYTES_MAX, "{}", frame.bytes.len());
}
