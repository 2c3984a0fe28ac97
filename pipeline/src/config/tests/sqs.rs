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
