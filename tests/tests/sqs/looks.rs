//! What an operator sees of queues on SQS, which keeps no account of rows.

use serde_json::Value;
use tests::{Child, Console, Ministack, Site, until};

use crate::QUICK;

fn queues(site: &Site, arguments: &[&str]) -> Child {
    let mut command = site.millstream("queues");
    command.args(arguments);
    Child::start(command)
}

#[test]
fn sqs_queues_are_looked_at_without_an_account() {
    let services = Ministack::start();
    let site = Site::on_aws(&services, "");
    let table = queues(&site, &[]).ended().well();
    let validate = table.out.iter().find(|line| line.starts_with("validate")).unwrap();
    let cells: Vec<_> = validate.split_whitespace().collect();
    assert_eq!(cells, ["validate", "0", "-", "-", "0", "-", "0", "-", "-"]);
    let told = site.queues();
    for (name, depth) in told["queues"].as_object().unwrap() {
        assert_eq!((&depth["frames"], &depth["dead"]), (&0.into(), &0.into()), "{name}");
        for key in ["rows", "bytes", "dead_rows", "dead_bytes", "oldest_secs"] {
            assert_eq!(depth[key], Value::Null, "{key} of {name}");
        }
    }
    let checked = queues(&site, &["--check"]).ended().with(2);
    assert_eq!((checked.said("keeps no account"), checked.said("leave out --check")), (1, 1));
    // Nothing of that fixed the number of lanes.
    let endpoint = services.endpoint();
    site.configure(&format!("lanes: 7\nqueues: {{ engine: sqs, sqs: {{ endpoint: '{endpoint}' }} }}\n"));
    site.run(&["validate"]).kill();
}

#[test]
fn sqs_is_asked_whether_a_process_is_ready() {
    let services = Ministack::start();
    let site = Site::on_aws(&services, QUICK);
    let mut up = site.up_command();
    up.args(["--console", "127.0.0.1:0"]);
    let up = Child::start(up);
    let console = Console::of(&up);
    up.says("listening on mqtt://");
    let (status, body) = console.get("/readyz");
    let ready: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &ready["checks"]["queues"]), (200, &"ok".into()), "{body}");
    assert_eq!(ready["checks"]["books"], Value::Null, "there is no account to hold the books against");
    let (_, text) = console.get("/metrics");
    assert!(text.contains("millstream_queue_frames{queue=\"validate\"} 0\n"), "{text}");
    for unknown in ["queue_rows", "queue_size", "queue_dead_rows", "queue_oldest_age", "books_difference"] {
        assert!(!text.contains(&format!("millstream_{unknown}")), "{unknown} in\n{text}");
    }
    // Once at the start, and once for the metrics, which does for a while; nobody else counts this queue.
    let counted = "millstream_sqs_requests_total{queue=\"store\",kind=\"get_attributes\"}";
    assert_eq!((console.metric(counted), console.metric(counted)), (2.0, 2.0));
    drop(services);
    until("SQS is missed", || console.trouble("queues").is_some());
}
