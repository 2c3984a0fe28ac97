//! The books tell when a row is lost, whoever lost it.

use rusqlite::Connection;
use serde_json::Value;
use tests::{Child, Ended, Site, until};

use crate::console::{get, metric};

fn check(site: &Site) -> Ended {
    let mut command = site.millstream("queues");
    command.arg("--check");
    Child::start(command).ended()
}

#[test]
fn a_row_that_is_taken_away_by_hand_turns_readiness_red() {
    let site = Site::new("");
    let mut command = site.millstream("run");
    command.args(["ingest", "validate", "transform", "analyze", "alert", "--console", "127.0.0.1:0"]);
    command.arg("--listen").arg(site.address().to_string());
    let running = Child::start(command);
    let console = running.says("console on http://");
    let console = console.rsplit("http://").next().unwrap().trim().parse().unwrap();
    running.says("listening on mqtt://");
    site.fleet(["--devices", "3", "--messages", "60", "--faults", "schema=0.1"]).ended().well();
    until("all rows wait for store", || {
        let told = site.queues();
        let waits = |queue: &str| told["queues"][queue]["frames"] != 0;
        waits("store") && !["validate", "transform", "analyze", "alert"].into_iter().any(waits)
    });
    let said = check(&site).well().out;
    assert_eq!(said.last().map(String::as_str), Some("the books balance"), "{said:#?}");
    assert_eq!(get(console, "/readyz").0, 200);

    let file = Connection::open(site.data().join("millstream.db")).unwrap();
    let taken =
        "DELETE FROM frame WHERE seq = (SELECT min(seq) FROM frame WHERE queue = 4) RETURNING rows, bytes";
    let (rows, bytes): (i64, i64) = file.query_row(taken, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let said = check(&site).with(1).out.join("\n");
    assert!(said.contains("the books do not balance\n  store: its counters tell of"), "{said}");

    // As a program would that loses it and does not know.
    let counted =
        "UPDATE queue SET frames = frames - 1, rows = rows - ?1, bytes = bytes - ?2 WHERE queue = 4";
    file.execute(counted, [rows, bytes]).unwrap();
    let lost = if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
    let lost = format!("store: {lost} that entered its queue cannot be found");
    let said = check(&site).with(1).out;
    assert_eq!(said.last().map(|line| line.trim()), Some(lost.as_str()), "{said:#?}");
    let (status, body) = get(console, "/readyz");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["checks"]["books"]), (503, &lost.into()));
    let (_, text) = get(console, "/metrics");
    assert_eq!(metric(&text, "millstream_books_difference{stage=\"store\"}"), rows as f64);
    assert_eq!(metric(&text, "millstream_books_difference{stage=\"alert\"}"), 0.0);
}
