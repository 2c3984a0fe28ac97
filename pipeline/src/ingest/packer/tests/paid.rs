//! Where requests are paid for.

use super::*;

/// A frame is to take this once it is encoded.
const FULL: usize = 320_000;
const HOUR: Duration = Duration::from_secs(3600);

fn paid(linger: Duration, linger_awaited: Duration) -> PackerOptions {
    let paid = Some(Paid { frame_bytes: FULL, linger_awaited });
    PackerOptions { frame_bytes_max: 8 << 20, linger, paid, ..PackerOptions::default() }
}

/// Appends until something is due; answers what that is.
async fn fill(packer: &Packer, sender: &mut Sender, topic: &str) -> Vec<Batch> {
    loop {
        sender.add(topic, &[0; 1000]);
        let batches = due(packer).await;
        if !batches.is_empty() {
            return batches;
        }
    }
}

#[tokio::test]
async fn a_frame_is_closed_when_it_fills_what_is_paid_for() {
    let packer = packer(paid(HOUR, HOUR));
    let mut sender = packer.sender();
    let mut batches = fill(&packer, &mut sender, TOPIC).await;
    let first = batches[0].bytes;
    assert!(
        first > FULL / 2 && first < FULL,
        "as nothing is known, nothing is taken to become less: {first}"
    );
    // It comes out as a quarter, and so do the next.
    for _ in 0..3 {
        packer.learn(&batches[0], batches[0].bytes / 4);
        packer.settle(batches);
        batches = fill(&packer, &mut sender, TOPIC).await;
        let encoded = batches[0].bytes / 4;
        assert!(encoded > FULL * 9 / 10 && encoded <= FULL, "{encoded}");
    }
    let other = fill(&packer, &mut sender, "weather/a").await;
    assert_eq!(sizes(&other).len(), 1);
    assert!(other[0].bytes < FULL, "each slot learns by itself");
}

#[tokio::test]
async fn a_full_frame_takes_only_packet_ids_along_and_one_that_is_due_takes_all() {
    let packer = packer(PackerOptions { frame_rows_max: 2, ..paid(HOUR, Duration::ZERO) });
    let (mut sender, mut other) = (packer.sender(), packer.sender());
    other.add("weather/a", b"1");
    sender.add(TOPIC, b"1");
    sender.release(PacketKey { session: 1, packet_id: 7 });
    sender.add(TOPIC, b"2");
    let batches = due(&packer).await;
    assert_eq!(sizes(&batches), [2, 0], "the full one, and the packet id");
    packer.settle(batches);
    sender.add(TOPIC, b"3");
    assert!(due(&packer).await.is_empty());
    other.hurry();
    let batches = due(&packer).await;
    assert_eq!(sizes(&batches), [1, 1], "what goes with it costs nothing more");
    packer.settle(batches);
}

#[tokio::test]
async fn who_waits_waits_for_a_part_of_the_linger() {
    let awaited = Duration::from_millis(20);
    let packer = packer(paid(HOUR, awaited));
    let mut sender = packer.sender();
    let begun = Instant::now();
    sender.add(TOPIC, b"1");
    sender.hurry();
    assert!(due(&packer).await.is_empty() || begun.elapsed() >= awaited);
    sender.add(TOPIC, b"2");
    let batches = packer.due().await.unwrap();
    assert!(begun.elapsed() >= awaited);
    assert_eq!(batches.len(), 1);
}

#[tokio::test]
async fn nothing_is_waited_for_once_there_is_no_room() {
    let packer = packer(PackerOptions { buffer_bytes_max: 1000, ..paid(HOUR, HOUR) });
    let mut sender = packer.sender();
    sender.add(TOPIC, &[0; 600]);
    assert!(due(&packer).await.is_empty());
    sender.add("weather/a", &[0; 600]);
    assert!(!packer.has_room());
    let batches = due(&packer).await;
    assert_eq!(sizes(&batches), [1, 1]);
    packer.settle(batches);
    assert!(packer.has_room());
}
