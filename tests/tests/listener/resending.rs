//! Devices that lose an answer, connect again and send again: one row, whatever was lost.

use rusqlite::Connection;
use serde_json::Value;
use tests::{Site, lake, until};

use super::raw::{Connect, PUBACK, PUBCOMP, PUBREC, Raw, V3, V5, publish, publish_once, release};

const QUICK: &str = "store: { age_secs: 1, age_secs_max: 1 }";
const CLOCKLESS: &str = "
store: { age_secs: 1, age_secs_max: 1 }
topics:
  - pattern: devices/{device}/telemetry
    transform: { time: received, seq: /seq }
";

/// What does not reach the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Puback,
    Pubrec,
    Pubcomp,
}

/// How the device knows that it has lost something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// It hangs up without waiting: nobody knows how far its message has come.
    AtOnce,
    /// Its message is durable, and the answer on its way.
    Answered,
}

struct Case {
    version: u8,
    lost: Lost,
    cut: Cut,
    /// Whether the device then begins anew or goes on with its session.
    clean: bool,
    device: String,
    /// What its message has beside values.
    own: &'static str,
}

impl Case {
    fn all(version: u8, own: &'static str) -> Vec<Self> {
        let mut cases = Vec::new();
        for lost in [Lost::Puback, Lost::Pubrec, Lost::Pubcomp] {
            for cut in [Cut::AtOnce, Cut::Answered] {
                for clean in [false, true] {
                    let device = format!("{lost:?}-{cut:?}-{clean}").to_lowercase();
                    cases.push(Self { version, lost, cut, clean, device, own });
                }
            }
        }
        cases
    }

    /// The message as a PUBLISH.
    fn message(&self, again: bool) -> Vec<u8> {
        let Self { version, device, own, .. } = self;
        let payload = format!(r#"{{"device_id": "{device}", {own}, "metrics": {{"level": 1.5}}}}"#);
        let topic = format!("devices/{device}/telemetry");
        match self.lost {
            Lost::Puback => {
                let mut bytes = publish(*version, 7, &topic, payload.as_bytes());
                bytes[0] |= u8::from(again) << 3;
                bytes
            }
            Lost::Pubrec | Lost::Pubcomp => publish_once(*version, again, 7, &topic, payload.as_bytes()),
        }
    }

    async fn connect(&self, site: &Site, clean: bool) -> (Raw, bool) {
        // Packets are made of what lives as long as the test.
        let client_id: &'static str = self.device.clone().leak();
        Raw::connect(site.address(), &Connect::session(self.version, client_id, clean)).await
    }

    /// Sends the message until it is complete, and loses an answer on the way.
    async fn run(&self, site: &Site) {
        let before = taken(site);
        let (mut client, _) = self.connect(site, true).await;
        // In MQTT 3.1.1 no clean session is kept.
        if self.version == V3 {
            drop(client);
            client = self.connect(site, false).await.0;
        }
        client.send(&self.message(false)).await;
        if self.lost == Lost::Pubcomp {
            client.answer(PUBREC).await;
            client.send(&release(7)).await;
        }
        if self.cut == Cut::Answered {
            until("the message is durable", || taken(site) > before);
            let forgotten =
                || self.lost != Lost::Pubcomp || count(site, "SELECT count(*) FROM session_packet") == 0;
            until("its packet id is forgotten, if it was released", forgotten);
        }
        drop(client);

        let (mut client, present) = self.connect(site, self.clean).await;
        assert_eq!(present, !self.clean, "{}", self.device);
        match self.lost {
            Lost::Puback => {
                client.send(&self.message(true)).await;
                assert_eq!(client.answer(PUBACK).await.0, 7);
            }
            // A session that is over has no packet ids: the message is a new one.
            Lost::Pubcomp if !self.clean => {
                client.send(&release(7)).await;
                assert_eq!(client.answer(PUBCOMP).await.0, 7);
            }
            Lost::Pubrec | Lost::Pubcomp => {
                client.send(&self.message(!self.clean)).await;
                assert_eq!(client.answer(PUBREC).await, (7, None));
                client.send(&release(7)).await;
                assert_eq!(client.answer(PUBCOMP).await, (7, None));
            }
        }
        if self.cut == Cut::Answered {
            // QoS 2 takes it once by itself while the session lasts; else analyze finds the repeat.
            let times = if self.lost == Lost::Puback || self.clean { 2_i64 } else { 1 };
            assert_eq!(taken(site) - before, times, "{}", self.device);
        }
    }
}

/// How many messages ingest has made durable.
fn taken(site: &Site) -> i64 {
    count(site, "SELECT coalesce(max(consumed), 0) FROM books WHERE stage = 'ingest'")
}

fn count(site: &Site, sql: &str) -> i64 {
    let file = Connection::open(site.data().join("millstream.db")).unwrap();
    file.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_sent_again_after_a_lost_answer_is_one_row() {
    all_are_one_row(QUICK, r#""ts": "2026-01-01T12:00:00Z""#).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_with_a_number_and_no_time_is_one_row_too() {
    all_are_one_row(CLOCKLESS, r#""seq": 1"#).await;
}

async fn all_are_one_row(topology: &str, own: &'static str) {
    for version in [V3, V5] {
        let site = Site::new(topology);
        let up = site.up();
        let cases = Case::all(version, own);
        for case in &cases {
            case.run(&site).await;
        }
        up.terminate();
        up.ended().well();
        let rows = lake::query(
            &site.lake(),
            "SELECT device_id, count(*) AS times FROM 'readings/**/*.parquet' GROUP BY device_id ORDER BY device_id",
        );
        let pair =
            |row: &Value| (row["device_id"].as_str().unwrap().to_owned(), row["times"].as_u64().unwrap());
        let mut once: Vec<_> = cases.iter().map(|case| (case.device.clone(), 1)).collect();
        once.sort();
        assert_eq!(rows.iter().map(pair).collect::<Vec<_>>(), once, "version {version}");
    }
}
