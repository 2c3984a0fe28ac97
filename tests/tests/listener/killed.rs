//! QoS 2 while the process is killed: what was received is in the lake, once.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tests::{PATIENCE, Site, lake};

use super::raw::{Connect, PUBCOMP, PUBREC, Raw, V3, V5, publish_once, release};

/// Of no pattern, so that messages go to the quarantine, where nothing leaves out repeats.
const TOPIC: &str = "nobody/knows";

const QUICK: &str = "store: { age_secs: 1, age_secs_max: 1 }";

/// How long each process lives after it has come up.
const LIVES: [u64; 8] = [250, 0, 120, 400, 30, 300, 60, 200];

/// As many as a sender has under way.
const WINDOW: usize = 40;

/// How often each payload is in the quarantine.
fn kept(site: &Site) -> BTreeMap<String, u64> {
    let rows = lake::query(
        &site.lake(),
        "SELECT decode(payload) AS payload, count(*) AS times FROM 'quarantine/**/*.parquet' GROUP BY payload",
    );
    let pair = |row: &Value| (row["payload"].as_str().unwrap().to_owned(), row["times"].as_u64().unwrap());
    rows.iter().map(pair).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packet_id_outlives_the_process() {
    for version in [V3, V5] {
        let site = Site::new(QUICK);
        let mut up = site.up();
        let (mut client, _) = Raw::connect(site.address(), &Connect::session(version, "sensor", false)).await;
        client.send(&publish_once(version, false, 1, TOPIC, b"first")).await;
        assert_eq!(client.answer(PUBREC).await, (1, None));
        for _ in 0..2 {
            up.kill();
            up = site.up();
            let (again, present) =
                Raw::connect(site.address(), &Connect::session(version, "sensor", false)).await;
            assert!(present);
            client = again;
            client.send(&publish_once(version, true, 1, TOPIC, b"first")).await;
            assert_eq!(client.answer(PUBREC).await, (1, None));
        }
        client.send(&release(1)).await;
        assert_eq!(client.answer(PUBCOMP).await, (1, None));
        up.kill();
        up = site.up();
        let (mut client, _) = Raw::connect(site.address(), &Connect::session(version, "sensor", false)).await;
        client.send(&publish_once(version, false, 1, TOPIC, b"second")).await;
        assert_eq!(client.answer(PUBREC).await, (1, None));
        up.terminate();
        up.ended().well();
        let once = ["first", "second"].map(|payload| (payload.to_owned(), 1));
        assert_eq!(kept(&site), once.into(), "version {version}");
    }
}

/// A sender of QoS 2 that keeps what it has under way and goes on with it (MQTT 5.0, 4.4).
struct Sender {
    version: u8,
    addr: SocketAddr,
    next: u32,
    /// Whether nothing new is to be sent: a fixed number of messages would be too few on a fast machine, too many on a
    /// slow one.
    enough: Arc<AtomicBool>,
    /// In the order of their first PUBLISH: packet id, number of the message, whether its PUBREC has come.
    under_way: VecDeque<(u16, u32, bool)>,
}

impl Sender {
    fn payload(number: u32) -> Vec<u8> {
        number.to_string().into_bytes()
    }

    /// Sends until it is enough and everything is complete; answers how many messages, and how often it connected.
    async fn run(mut self) -> (u32, u32) {
        let begun = Instant::now();
        let mut connections = 0;
        while !self.has_enough() || !self.under_way.is_empty() {
            assert!(begun.elapsed() < 2 * PATIENCE, "{} sent", self.next);
            let Some((mut client, present)) =
                Raw::try_connect(self.addr, &Connect::session(self.version, "sensor", false)).await
            else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            assert!(present || connections == 0, "the session is kept");
            connections += 1;
            self.converse(&mut client).await;
        }
        (self.next, connections)
    }

    fn has_enough(&self) -> bool {
        self.enough.load(Ordering::Relaxed)
    }

    /// Until the connection breaks, or nothing is left.
    async fn converse(&mut self, client: &mut Raw) -> Option<()> {
        for (id, number, received) in &self.under_way {
            let bytes = match received {
                true => release(*id),
                false => publish_once(self.version, true, *id, TOPIC, &Self::payload(*number)),
            };
            client.try_send(&bytes).await?;
        }
        loop {
            while self.under_way.len() < WINDOW && !self.has_enough() {
                // Packet ids come again soon.
                let id = u16::try_from(self.next % 60 + 1).unwrap();
                if self.under_way.iter().any(|(taken, ..)| *taken == id) {
                    break;
                }
                let bytes = publish_once(self.version, false, id, TOPIC, &Self::payload(self.next));
                self.under_way.push_back((id, self.next, false));
                self.next += 1;
                client.try_send(&bytes).await?;
            }
            if self.under_way.is_empty() {
                return Some(());
            }
            let packet = client.receive().await?;
            let id = u16::from_be_bytes([packet.body[0], packet.body[1]]);
            match packet.kind {
                PUBREC => {
                    let message = self.under_way.iter_mut().find(|(taken, ..)| *taken == id);
                    message.expect("a packet id that is under way").2 = true;
                    client.try_send(&release(id)).await?;
                }
                PUBCOMP => self.under_way.retain(|(taken, ..)| *taken != id),
                kind => panic!("a packet of kind {kind:x}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_is_kept_once_however_often_the_process_is_killed() {
    for version in [V3, V5] {
        let site = Site::new(QUICK);
        let mut up = site.up();
        let enough = Arc::new(AtomicBool::new(false));
        let sender = Sender {
            version,
            addr: site.address(),
            next: 0,
            enough: Arc::clone(&enough),
            under_way: VecDeque::new(),
        };
        let sending = tokio::spawn(sender.run());
        for millis in LIVES {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            up.kill();
            up = site.up();
        }
        enough.store(true, Ordering::Relaxed);
        let (messages, connections) = sending.await.unwrap();
        assert!(connections >= 3, "it connected {connections} times");
        up.terminate();
        up.ended().well();
        let kept = kept(&site);
        assert_eq!(kept.len(), usize::try_from(messages).unwrap());
        assert_eq!(kept.iter().find(|(_, times)| **times > 1), None, "version {version}");
    }
}
