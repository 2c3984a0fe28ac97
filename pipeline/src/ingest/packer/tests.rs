mod paid;

use stages::topic::Pattern;

use super::*;
use crate::ingest::sessions::PacketKey;

fn packer(options: PackerOptions) -> Arc<Packer> {
    let pattern = Pattern::parse("devices/{device}/telemetry").unwrap();
    Packer::new(options, Arc::new(Topics::new(vec![pattern])), 3)
}

/// Nothing is due but what is full or awaited.
fn patient() -> PackerOptions {
    PackerOptions { linger: Duration::from_secs(3600), ..PackerOptions::default() }
}

fn row<'a>(topic: &'a str, payload: &'a [u8]) -> Incoming<'a> {
    Incoming { topic, payload, received_at: 0, client_id: "gateway", properties: &[] }
}

const TOPIC: &str = "devices/a/telemetry";

impl Sender {
    fn add(&mut self, topic: &str, payload: &[u8]) -> Ticket {
        let slot = self.packer.slot(topic);
        self.append(slot, &row(topic, payload))
    }
}

/// What is due now, without waiting for it.
async fn due(packer: &Packer) -> Vec<Batch> {
    tokio::time::timeout(Duration::ZERO, packer.due()).await.ok().flatten().unwrap_or_default()
}

fn sizes(batches: &[Batch]) -> Vec<usize> {
    batches.iter().map(|batch| batch.rows.len()).collect()
}

#[test]
fn a_device_stays_in_its_lane_and_strangers_go_to_the_last_slot() {
    let packer = packer(patient());
    assert_eq!(packer.slot("devices/a/telemetry"), Slot(Lane::of("a", 4).0));
    assert_eq!(packer.slot("weather/a"), Slot(4));
}

#[tokio::test]
async fn a_frame_is_closed_by_rows() {
    let packer = packer(PackerOptions { frame_rows_max: 3, ..patient() });
    let mut sender = packer.sender();
    sender.add(TOPIC, b"1");
    sender.add(TOPIC, b"2");
    assert!(due(&packer).await.is_empty());
    sender.add(TOPIC, b"3");
    sender.add(TOPIC, b"4");
    assert_eq!(sizes(&due(&packer).await), [3]);
    assert!(due(&packer).await.is_empty(), "the fourth row waits in the next frame");
}

#[tokio::test]
async fn a_frame_is_closed_before_it_is_too_large_but_takes_any_one_message() {
    let packer = packer(PackerOptions { frame_bytes_max: 1000, ..patient() });
    let mut sender = packer.sender();
    sender.add(TOPIC, &[0; 600]);
    sender.add(TOPIC, &[0; 600]);
    assert_eq!(sizes(&due(&packer).await), [1]);
    sender.add(TOPIC, &[0; 5000]);
    assert_eq!(sizes(&due(&packer).await), [1], "what was there before the large one");
    assert_eq!(sizes(&due(&packer).await), [1], "the large one, on its own");
}

#[tokio::test]
async fn a_frame_is_closed_by_its_oldest_row_and_takes_the_other_lanes_along() {
    let linger = Duration::from_millis(5);
    let packer = packer(PackerOptions { linger, ..patient() });
    let mut sender = packer.sender();
    let begun = Instant::now();
    sender.add(TOPIC, b"1");
    sender.add("weather/a", b"1");
    let batches = packer.due().await.unwrap();
    assert!(begun.elapsed() >= linger);
    assert_eq!(sizes(&batches), [1, 1]);
    assert!(matches!(batches[0].rows, Rows::Messages(..)));
    assert!(matches!(batches[1].rows, Rows::Refused(..)));
}

#[tokio::test]
async fn tickets_are_durable_when_their_batch_is_and_only_senders_concerned_are_woken() {
    let packer = packer(PackerOptions { frame_rows_max: 1, ..patient() });
    let (mut first, mut second) = (packer.sender(), packer.sender());
    let ticket = first.add(TOPIC, b"1");
    let batches = due(&packer).await;
    let later = second.add(TOPIC, b"2");
    assert!(!first.is_durable(ticket));
    packer.settle(batches);
    assert!(first.is_durable(ticket) && !second.is_durable(later));
    first.settled().await;
    let woken = tokio::time::timeout(Duration::ZERO, second.settled()).await;
    assert!(woken.is_err(), "nothing of the second sender is durable yet");
}

#[tokio::test]
async fn a_sender_that_waits_makes_its_own_frames_due() {
    let packer = packer(patient());
    let (mut hasty, mut calm) = (packer.sender(), packer.sender());
    calm.add(TOPIC, b"1");
    hasty.hurry();
    assert!(due(&packer).await.is_empty(), "it has nothing to wait for");
    hasty.add(TOPIC, b"2");
    hasty.hurry();
    assert_eq!(sizes(&due(&packer).await), [2]);
    calm.add(TOPIC, b"3");
    hasty.hurry();
    assert!(due(&packer).await.is_empty(), "what it waits for is on its way already");
}

#[tokio::test]
async fn packet_ids_go_with_their_message_and_what_is_released_goes_at_once() {
    let packer = packer(PackerOptions { frame_rows_max: 1, frame_bytes_max: 100, ..patient() });
    let mut sender = packer.sender();
    let packet = |packet_id| PacketKey { session: 7, packet_id };
    for id in [1, 2] {
        let slot = packer.slot(TOPIC);
        sender.append_packet(slot, &row(TOPIC, b"1"), Some(packet(id)));
    }
    let released: Vec<PacketKey> = (3..1000).map(packet).collect();
    let tickets: Vec<Ticket> = released.iter().map(|packet| sender.release(*packet)).collect();
    let batches = due(&packer).await;
    assert_eq!(sizes(&batches), [1, 0], "the second message waits for its turn");
    assert_eq!(batches[0].taken, [packet(1)]);
    assert_eq!(batches[1].released, released, "however many");
    packer.settle(batches);
    assert!(tickets.iter().all(|ticket| sender.is_durable(*ticket)));
    let batches = due(&packer).await;
    assert_eq!(batches[0].taken, [packet(2)]);
    packer.settle(batches);
    assert_eq!(packer.buffered_bytes(), 0);
}

#[tokio::test]
async fn a_sender_can_wait_for_what_another_one_has_appended() {
    // It is filled still, or on its way already.
    for on_its_way in [false, true] {
        let packer = packer(patient());
        let (mut first, mut second) = (packer.sender(), packer.sender());
        let ticket = first.add(TOPIC, b"1");
        let before = if on_its_way { packer.take() } else { Vec::new() };
        second.follow(ticket);
        second.hurry();
        let after = due(&packer).await;
        assert_eq!(sizes(&after), [usize::from(!on_its_way)], "the batch it is in, or one behind it");
        packer.settle(before);
        packer.settle(after);
        second.settled().await;
        assert!(second.is_durable(ticket));
        second.follow(ticket);
        second.hurry();
        assert!(due(&packer).await.is_empty(), "there is nothing to wait for");
    }
}

#[tokio::test]
async fn room_is_there_until_the_buffer_is_full_and_again_once_it_is_durable() {
    let packer = packer(PackerOptions { buffer_bytes_max: 1000, frame_rows_max: 1, ..patient() });
    let mut sender = packer.sender();
    sender.add(TOPIC, &[0; 600]);
    assert!(packer.has_room());
    sender.add(TOPIC, &[0; 600]);
    assert!(!packer.has_room());
    assert!(tokio::time::timeout(Duration::ZERO, packer.room()).await.is_err());
    let batches = due(&packer).await;
    packer.settle(batches);
    packer.room().await;
    let batches = due(&packer).await;
    packer.settle(batches);
    assert_eq!(packer.buffered_bytes(), 0);
}

#[tokio::test]
async fn when_finished_everything_is_due_and_then_there_is_an_end() {
    let packer = packer(patient());
    let mut sender = packer.sender();
    sender.add(TOPIC, b"1");
    packer.finish();
    assert_eq!(sizes(&packer.due().await.unwrap()), [1]);
    assert!(packer.due().await.is_none());
}

#[tokio::test]
async fn numbers_rise_within_an_epoch_and_a_new_one_is_wanted_in_time() {
    let packer = packer(patient());
    assert_eq!(packer.number(), 3 << 40);
    assert_eq!(packer.number(), (3 << 40) + 1);
    assert!(!packer.wants_epoch());
    packer.next_message.fetch_add(1 << 39, Ordering::Relaxed);
    assert!(packer.wants_epoch());
    packer.renumber(4);
    assert_eq!(packer.number(), 4 << 40);
    assert!(!packer.wants_epoch());
}

#[tokio::test]
async fn the_oldest_message_is_known_until_it_is_durable() {
    let packer = packer(PackerOptions { frame_rows_max: 2, ..patient() });
    let mut sender = packer.sender();
    assert_eq!(packer.received_at(), None);
    let slot = packer.slot(TOPIC);
    for received_at in [20, 10, 30] {
        sender.append(slot, &Incoming { received_at, ..row(TOPIC, b"1") });
    }
    sender.append(packer.slot("weather"), &Incoming { received_at: 40, ..row("weather", b"1") });
    assert_eq!(packer.received_at(), Some(10));
    let taken = due(&packer).await;
    assert_eq!(packer.received_at(), Some(10), "it is in hand");
    packer.settle(taken);
    assert_eq!(packer.received_at(), Some(30));
    packer.finish();
    packer.settle(due(&packer).await);
    assert_eq!(packer.received_at(), None);
}
