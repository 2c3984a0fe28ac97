//! What an operator sees: metrics, health, readiness, logs.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;
use tests::{Child, Site};

use crate::QUICK;

/// The status and the body of a GET.
pub(crate) fn get(console: SocketAddr, path: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(console).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: console\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The value of a metric, labels and all.
pub(crate) fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    let line = line.unwrap_or_else(|| panic!("there is no {name} in\n{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn up(site: &Site) -> (Child, SocketAddr) {
    let mut command = site.up_command();
    command.args(["--console", "127.0.0.1:0"]);
    let up = Child::start(command);
    let line = up.says("console on http://");
    up.says("listening on mqtt://");
    (up, line.rsplit("http://").next().unwrap().trim().parse().unwrap())
}

#[test]
fn metrics_tell_what_became_of_every_row() {
    let site = Site::new(QUICK);
    let (_up, console) = up(&site);
    let sent = site.fleet(["--devices", "3", "--messages", "300", "--rate", "0", "--faults", "schema=0.1"]);
    let sent = sent.ended().well().json();
    site.wait_until_dry();
    let (status, text) = get(console, "/metrics");
    assert_eq!(status, 200);
    assert!(text.ends_with("# EOF\n"), "{text}");
    let rows = |stage: &str, fate: &str| {
        metric(&text, &format!("millstream_rows_total{{stage=\"{stage}\",fate=\"{fate}\"}}"))
    };
    let messages = sent["acknowledged"].as_f64().unwrap();
    assert_eq!(rows("ingest", "consumed"), messages);
    assert!(rows("validate", "quarantined") > 0.0, "{text}");
    assert_eq!(rows("validate", "consumed") + rows("validate", "quarantined"), messages);
    assert_eq!(metric(&text, "millstream_queue_frames{queue=\"store\"}"), 0.0);
    assert_eq!(metric(&text, "millstream_queue_entered_rows_total{queue=\"validate\"}"), messages);
    for stage in ["validate", "transform", "analyze", "alert", "store", "notify"] {
        assert_eq!(
            metric(&text, &format!("millstream_books_difference{{stage=\"{stage}\"}}")),
            0.0,
            "{stage}"
        );
        assert_eq!(
            metric(&text, &format!("millstream_queue_dead_rows{{queue=\"{stage}\"}}")),
            0.0,
            "{stage}"
        );
    }
    assert_eq!(metric(&text, "millstream_puback_seconds_count"), messages);
    assert_eq!(metric(&text, "millstream_ingest_frame_rows_sum"), messages);
    let written = metric(&text, "millstream_lake_rows_total{dataset=\"readings\"}");
    assert_eq!(written, rows("analyze", "consumed"));
    assert!(metric(&text, "millstream_lake_written_bytes_total{dataset=\"readings\"}") > 0.0);
    assert!(metric(&text, "millstream_commit_seconds_count") > 0.0);
}

#[test]
fn a_process_is_ready_until_it_is_told_to_stop() {
    let site = Site::new("shutdown_secs: 60\nstore: { age_secs: 3600, age_secs_max: 3600 }");
    let (up, console) = up(&site);
    assert_eq!(get(console, "/healthz"), (200, "ok\n".to_owned()));
    let (status, body) = get(console, "/readyz");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["ready"], &body["checks"]["ingest"]), (200, &Value::Bool(true), &"ok".into()));
    assert_eq!(body["checks"]["books"], "ok");
    assert_eq!(get(console, "/nothing").0, 404);
    up.terminate();
    up.ended().well();
}

#[test]
fn an_address_that_is_taken_is_named_with_the_way_out() {
    let site = Site::new(QUICK);
    let (_up, console) = up(&site);
    let other = Site::new(QUICK);
    let mut command = other.up_command();
    command.args(["--console", &console.to_string()]);
    let ended = Child::start(command).ended();
    assert_eq!(ended.code, Some(1));
    let said = ended.err.join("\n");
    assert!(said.contains(&format!("the console cannot listen on {console}")), "{said}");
    assert!(said.contains("--console ADDR:PORT"), "{said}");
}

#[test]
fn logs_are_json_where_that_is_asked_for() {
    let site = Site::new(QUICK);
    let mut command = site.up_command();
    command.args(["--log-format", "json"]);
    let up = Child::start(command);
    let line = up.says("listening on mqtt://");
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["level"], "INFO");
    assert!(event["message"].as_str().unwrap().starts_with("listening on mqtt://"), "{event}");
}
