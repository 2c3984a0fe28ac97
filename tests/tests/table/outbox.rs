//! What frames of queues without order led to, saved with the change that they made.

use millstream::{
    queue::{NumberedDelta, QueueError, QueueName},
    state::dynamodb::{Outbox, PART_BYTES_MAX, Table},
};
use stages::{frame::FrameId, plan::Counts};
use tests::{Fate, Gate};

use crate::{
    server::{self, Server},
    state::{STAGE, body, delta, id, load},
};

const QUEUE: QueueName = QueueName::Analyze;

fn outbox(frames: impl IntoIterator<Item = u64>, bytes: &[u8]) -> Outbox {
    Outbox { queue: QUEUE, frames: frames.into_iter().map(id).collect(), bytes: bytes.to_vec() }
}

/// Makes change `number` of what `outbox` says.
async fn save(table: &Table, number: u64, outbox: Outbox) -> Result<(), QueueError> {
    let change = NumberedDelta { applied: outbox.frames.clone(), ..delta(number) };
    let counts = Counts { consumed: 5, ..Counts::default() };
    table.append_with(vec![change], vec![(STAGE, counts)], Some(outbox)).await
}

async fn saved(table: &Table, frame: u64) -> Option<Vec<u8>> {
    table.outbox(QUEUE, id(frame)).await.unwrap()
}

fn applied(answer: Result<(), QueueError>) -> FrameId {
    match answer {
        Err(QueueError::Applied { frame }) => frame,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn table_saves_what_frames_led_to() {
    let server = Server::start();
    let table = server.table().await;
    let large: Vec<u8> = (0..2 * PART_BYTES_MAX + 17).map(|at| (at % 251) as u8).collect();
    for (number, bytes) in [&[][..], b"what is sent", &large[..20_000], &large].into_iter().enumerate() {
        let frames = 10 * number as u64..10 * number as u64 + 3;
        save(&table, number as u64 + 1, outbox(frames.clone(), bytes)).await.unwrap();
        let other = server.another(&table).await;
        for frame in frames {
            assert_eq!(saved(&other, frame).await.as_deref(), Some(bytes), "whichever frame comes again");
        }
    }
    assert_eq!(saved(&table, 99).await, None);
    assert_eq!(table.outbox(QueueName::Alert, id(0)).await.unwrap(), None, "each queue has its own");
    assert_eq!(load(&table, None).await.number, 4);
    let items = server.client().await.scan().table_name(table.name()).send().await.unwrap();
    for item in items.items() {
        let stays = item["pk"].as_s().unwrap().starts_with("state#");
        assert_eq!(item.contains_key("expires_at"), !stays, "{:?}", item["pk"]);
    }
}

#[tokio::test]
async fn table_saves_nothing_for_who_lost_the_lane() {
    let server = Server::start();
    let table = server.table().await;
    save(&table, 1, outbox([1], b"first")).await.unwrap();
    for large in [false, true] {
        let bytes = if large { vec![7; PART_BYTES_MAX] } else { b"late".to_vec() };
        let answer = save(&table, 1, outbox([2, 3], &bytes)).await;
        assert!(matches!(answer, Err(QueueError::Fenced { number: 1, last: 1, .. })), "{answer:?}");
        assert_eq!((saved(&table, 2).await, saved(&table, 3).await), (None, None));
    }
    save(&table, 2, outbox([2, 3], b"second")).await.unwrap();
    assert_eq!(saved(&table, 3).await.as_deref(), Some(&b"second"[..]));
    table.fix_lanes(4).await.unwrap();
    assert_eq!(table.books().await.unwrap()[STAGE].consumed, 10);
}

#[tokio::test]
async fn table_applies_a_frame_once_however_long_ago_that_was() {
    let server = Server::start();
    let table = server.table().await;
    save(&table, 1, outbox([1, 2], b"first")).await.unwrap();
    // The state says nothing of them any more.
    let whole = NumberedDelta { snapshot: Some(body(2)), applied: Vec::new(), ..delta(2) };
    table.append(vec![whole], Vec::new()).await.unwrap();
    assert!(load(&table, None).await.applied.is_empty());
    for number in [3, 1] {
        let answer = save(&server.another(&table).await, number, outbox([5, 2], b"again")).await;
        assert_eq!(applied(answer), id(2), "also who lost the lane is told so");
    }
    assert_eq!(load(&table, None).await.number, 2, "nothing has changed");
    assert_eq!(saved(&table, 5).await, None);
    assert_eq!(saved(&table, 2).await.as_deref(), Some(&b"first"[..]));
    save(&table, 3, outbox([5], b"fifth")).await.unwrap();
}

#[tokio::test]
async fn table_does_not_take_a_lost_answer_for_an_earlier_change() {
    let server = Server::start();
    let gate = Gate::to(&server.endpoint());
    let table = server.table().await;
    let through = server::table(&gate.endpoint(), table.name()).await;
    for number in 1..=3 {
        gate.arm(1, Fate::AnswerLost);
        save(&through, number, outbox([number], b"sent")).await.unwrap();
        assert!(gate.is_reached());
        assert_eq!(load(&table, None).await.number, number);
    }
    assert_eq!(applied(save(&table, 4, outbox([3], b"sent")).await), id(3), "another's is one");
}

#[tokio::test]
async fn table_has_one_of_two_changes_that_are_made_at_once() {
    let server = Server::start();
    let table = server.table().await;
    for number in 1..=20 {
        let others = [server.another(&table).await, server.another(&table).await];
        let frames = [2 * number, 2 * number + 1];
        let [one, other] = &others;
        let answers = tokio::join!(
            save(one, number, outbox([frames[0]], b"one")),
            save(other, number, outbox([frames[1]], b"other"))
        );
        let is_saved = [saved(&table, frames[0]).await.is_some(), saved(&table, frames[1]).await.is_some()];
        assert_eq!(is_saved, [answers.0.is_ok(), answers.1.is_ok()]);
        assert_ne!(is_saved[0], is_saved[1], "{answers:?}");
        let loaded = load(&table, Some(number - 1)).await;
        assert_eq!((loaded.number, loaded.applied.len()), (number, 1));
    }
}
