//! Numbered changes of lanes.

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use millstream::{
    error::Class,
    queue::{NumberedDelta, QueueError},
    state::{
        APPLIED_MAX, Loaded, StateStore,
        dynamodb::{PART_BYTES_MAX, Table},
    },
};
use stages::{
    frame::{FrameId, Lane},
    plan::Counts,
};
use tests::{Fate, Gate};

use crate::server::{self, Server};

pub(crate) const STAGE: &str = "analyze";
pub(crate) const LANE: Lane = Lane(3);

pub(crate) fn id(number: u64) -> FrameId {
    FrameId(u128::from(number).to_be_bytes())
}

pub(crate) fn body(number: u64) -> Vec<u8> {
    format!("change {number}").into_bytes()
}

/// A change that one frame led to.
pub(crate) fn delta(number: u64) -> NumberedDelta {
    let (stage, lane, snapshot) = (STAGE, LANE, None);
    NumberedDelta { stage, lane, number, bytes: body(number), snapshot, applied: vec![id(number)] }
}

pub(crate) fn snapshot(number: u64, bytes: Vec<u8>) -> NumberedDelta {
    let applied = (1..=number).map(id).collect();
    NumberedDelta { snapshot: Some(bytes), applied, ..delta(number) }
}

/// Nothing, provided that this is the last number.
fn nothing(number: u64) -> NumberedDelta {
    NumberedDelta { bytes: Vec::new(), applied: Vec::new(), ..delta(number) }
}

fn consumed(consumed: u64) -> Counts {
    Counts { consumed, ..Counts::default() }
}

pub(crate) async fn load(table: &Table, since: Option<u64>) -> Loaded {
    StateStore::DynamoDb(table.clone()).load(STAGE, LANE, since).await.unwrap()
}

pub(crate) async fn append(table: &Table, deltas: Vec<NumberedDelta>) {
    table.append(deltas, Vec::new()).await.unwrap();
}

/// What is there after the changes `first` to `last`, with nothing before.
fn changes(first: u64, last: u64) -> Loaded {
    let deltas = (first..=last).map(|number| (number, body(number))).collect();
    Loaded { snapshot: None, deltas, number: last, applied: (first..=last).map(id).collect() }
}

fn fence(answer: Result<(), QueueError>) -> (u64, u64) {
    match answer {
        Err(QueueError::Fenced { number, last, .. }) => (number, last),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn table_numbers_changes_and_loads_what_is_new() {
    let server = Server::start();
    let table = server.table().await;
    assert_eq!(load(&table, None).await, Loaded::default());
    append(&table, vec![delta(1)]).await;
    append(&table, vec![delta(2), delta(3), delta(4)]).await;
    append(&table, vec![delta(5)]).await;
    let other = server.another(&table).await;
    assert_eq!(load(&other, None).await, changes(1, 5));
    assert_eq!(load(&other, Some(1)).await, changes(2, 5));
    assert_eq!(load(&other, Some(4)).await, changes(5, 5));
    assert_eq!(load(&other, Some(5)).await, Loaded { number: 5, ..Loaded::default() });
    assert_eq!(StateStore::DynamoDb(other).number(STAGE, LANE).await.unwrap(), 5);
    let elsewhere = StateStore::DynamoDb(table.clone());
    assert_eq!(elsewhere.number(STAGE, Lane(2)).await.unwrap(), 0, "each lane has its own");
    assert_eq!(elsewhere.number("alert", LANE).await.unwrap(), 0, "and so has each stage");
}

#[tokio::test]
async fn table_fences_who_lost_the_lane() {
    let server = Server::start();
    let table = server.table().await;
    append(&table, vec![delta(1), delta(2)]).await;
    let late = server.another(&table).await;
    for number in [1, 2, 4] {
        let answer = late.append(vec![delta(number)], vec![(STAGE, consumed(7))]).await;
        assert_eq!(fence(answer), (number, 2));
    }
    assert_eq!(fence(late.append(vec![delta(3), delta(5)], Vec::new()).await), (5, 3));
    assert_eq!(fence(late.append(vec![snapshot(2, body(0))], Vec::new()).await), (2, 2));
    assert_eq!(fence(late.append(vec![nothing(1)], Vec::new()).await), (1, 2));
    late.append(vec![nothing(2)], vec![(STAGE, consumed(1))]).await.unwrap();
    assert_eq!(load(&table, None).await, changes(1, 2), "nothing of it is there");
    assert_eq!(table.books().await.unwrap()[STAGE], consumed(1));
    append(&late, vec![delta(3)]).await;
    assert_eq!(load(&table, None).await, changes(1, 3));
}

#[tokio::test]
async fn table_changes_the_stages_of_a_hop_together() {
    let server = Server::start();
    let table = server.table().await;
    table.fix_lanes(4).await.unwrap();
    let of_alert = |number| NumberedDelta { stage: "alert", ..delta(number) };
    append(&table, vec![delta(1), of_alert(1)]).await;
    append(&table, vec![of_alert(2)]).await;
    let counts = || vec![(STAGE, consumed(5)), ("alert", consumed(4)), ("validate", consumed(9))];
    assert_eq!(fence(table.append(vec![delta(2), of_alert(2)], counts()).await), (2, 2));
    assert_eq!(load(&table, None).await.number, 1, "neither has changed");
    assert!(table.books().await.unwrap().values().all(|counts| *counts == Counts::default()));
    for number in [2, 3] {
        table.append(vec![delta(number), of_alert(number + 1)], counts()).await.unwrap();
    }
    server.another(&table).await.append(Vec::new(), counts()).await.unwrap();
    let books = table.books().await.unwrap();
    let found = ["analyze", "alert", "validate"].map(|stage| books[stage].consumed);
    assert_eq!(found, [15, 12, 27]);
}

#[tokio::test]
async fn table_replaces_changes_by_a_snapshot() {
    let server = Server::start();
    let table = server.table().await;
    for number in 1..=30 {
        append(&table, vec![delta(number)]).await;
    }
    append(&table, vec![delta(31), snapshot(32, b"the whole".to_vec()), delta(33)]).await;
    let whole = Loaded {
        snapshot: Some((32, b"the whole".to_vec())),
        deltas: vec![(33, body(33))],
        number: 33,
        applied: (1..=33).map(id).collect(),
    };
    assert_eq!(load(&table, None).await, whole);
    assert_eq!(load(&table, Some(31)).await, whole, "who stands before it needs it");
    assert_eq!(load(&table, Some(32)).await, changes(33, 33));
    let left = server.keys(&table, "state#").await;
    assert_eq!(left.len(), 3, "head, snapshot and one change: {left:?}");
    append(&table, vec![snapshot(34, b"again".to_vec())]).await;
    let loaded = load(&table, None).await;
    assert_eq!((loaded.snapshot, loaded.deltas.len()), (Some((34, b"again".to_vec())), 0));
    assert_eq!(server.keys(&table, "state#").await.len(), 2);
}

#[tokio::test]
async fn table_remembers_the_frames_last_applied() {
    let server = Server::start();
    let table = server.table().await;
    let max = APPLIED_MAX as u64;
    append(&table, vec![snapshot(1, b"state".to_vec())]).await;
    let many = NumberedDelta { applied: (0..max + 10).map(id).collect(), ..snapshot(2, b"state".to_vec()) };
    append(&table, vec![many]).await;
    let loaded = load(&table, None).await;
    assert_eq!(loaded.applied, (10..max + 10).map(id).collect::<Vec<_>>(), "the oldest are gone");
    let more = NumberedDelta { bytes: Vec::new(), applied: vec![id(max + 10), id(max + 11)], ..delta(3) };
    append(&table, vec![more]).await;
    let loaded = load(&table, None).await;
    assert_eq!(loaded.applied, (12..max + 12).map(id).collect::<Vec<_>>());
    assert_eq!(loaded.deltas, [(3, Vec::new())], "frames that changed nothing else");
    assert_eq!(load(&table, Some(2)).await.applied, [id(max + 10), id(max + 11)]);
}

#[tokio::test]
async fn table_takes_large_states() {
    let server = Server::start();
    let table = server.table().await;
    let large =
        |seed: usize, bytes: usize| (0..bytes).map(|at| ((at * 31 + seed) % 251) as u8).collect::<Vec<_>>();
    let (change, state) = (large(1, 3 * PART_BYTES_MAX), large(2, 5 * PART_BYTES_MAX + 17));
    append(&table, vec![NumberedDelta { bytes: change.clone(), ..delta(1) }]).await;
    assert_eq!(load(&table, None).await.deltas, [(1, change)]);
    append(&table, vec![snapshot(2, state.clone())]).await;
    append(&table, vec![delta(3)]).await;
    let loaded = load(&table, None).await;
    assert_eq!((loaded.snapshot, loaded.number), (Some((2, state)), 3));
    append(&table, vec![snapshot(4, body(4))]).await;
    let left = server.keys(&table, "state#").await;
    assert_eq!(left.len(), 2, "no piece is left: {left:?}");
}

#[tokio::test]
async fn table_has_all_or_nothing_of_a_change_whose_writer_dies() {
    let server = Server::start();
    let large = vec![7; 2 * PART_BYTES_MAX];
    for fate in [Fate::HeldBefore, Fate::HeldAfter] {
        let table = server.table().await;
        append(&table, vec![delta(1)]).await;
        let mut taken = None;
        for request in 1.. {
            let number = table.number(STAGE, LANE).await.unwrap();
            let gate = Gate::at(&server.endpoint(), request, fate);
            let dying = server::table(&gate.endpoint(), table.name()).await;
            let writes = dying.append(vec![snapshot(number + 1, large.clone())], Vec::new());
            tokio::select! {
                answer = writes => answer.unwrap(),
                () = reached(&gate) => {}
            }
            let loaded = load(&table, None).await;
            assert!([number, number + 1].contains(&loaded.number));
            let is_whole = loaded.snapshot == Some((loaded.number, large.clone()));
            assert!(is_whole || (loaded.number, loaded.deltas.len()) == (1, 1), "{request} {fate:?}");
            if loaded.number > number {
                taken.get_or_insert(request);
            }
            if !gate.is_reached() {
                break;
            }
        }
        assert!(
            taken.is_some_and(|request| request > 3),
            "pieces come before what points to them: {taken:?}"
        );
        append(&table, vec![snapshot(table.number(STAGE, LANE).await.unwrap() + 1, body(0))]).await;
        let left = server.keys(&table, "state#").await;
        assert_eq!(left.len(), 2, "what the dead left behind is gone: {left:?}");
    }
}

async fn reached(gate: &Gate) {
    while !gate.is_reached() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn table_does_not_take_a_lost_answer_for_a_fence() {
    let server = Server::start();
    let gate = Gate::to(&server.endpoint());
    let table = server.table().await;
    let through = server::table(&gate.endpoint(), table.name()).await;
    for number in 1..=3 {
        gate.arm(1, Fate::AnswerLost);
        through.append(vec![delta(number)], vec![(STAGE, consumed(2))]).await.unwrap();
        assert!(gate.is_reached());
        assert_eq!(load(&table, None).await, changes(1, number));
    }
    table.fix_lanes(4).await.unwrap();
    assert_eq!(table.books().await.unwrap()[STAGE], consumed(6), "counted once each");
    let stale = server.another(&table).await;
    append(&stale, vec![delta(4)]).await;
    assert_eq!(fence(through.append(vec![delta(4)], Vec::new()).await), (4, 4), "another's is a fence");
}

#[tokio::test]
async fn table_is_read_whole_while_snapshots_replace_changes() {
    let server = Server::start();
    let table = server.table().await;
    let writer = server.another(&table).await;
    let writes = tokio::spawn(async move {
        for number in 1..=120 {
            let change = if number % 5 == 0 { snapshot(number, body(number)) } else { delta(number) };
            append(&writer, vec![change]).await;
        }
    });
    let (mut last, mut reads) = (0, 0);
    while !writes.is_finished() || reads == 0 {
        let loaded = load(&table, None).await;
        let first = loaded.snapshot.as_ref().map_or(0, |(number, bytes)| {
            assert_eq!(*bytes, body(*number));
            *number
        });
        let numbers: Vec<_> = loaded.deltas.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (first + 1..=loaded.number).collect::<Vec<_>>());
        assert!(loaded.number >= last);
        (last, reads) = (loaded.number, reads + 1);
    }
    writes.await.unwrap();
    assert_eq!(load(&table, None).await.number, 120);
}

#[tokio::test]
async fn table_that_is_damaged_is_not_used() {
    let server = Server::start();
    let table = server.table().await;
    append(&table, vec![delta(1), delta(2)]).await;
    let keys = server.keys(&table, "state#").await;
    let (pk, sk) = keys.iter().find(|(_, sk)| sk.starts_with("delta#")).unwrap();
    let bytes = AttributeValue::B(Blob::new([body(1), body(3)].concat()));
    server.tamper(&table, (pk, sk), "bytes", bytes).await;
    let error = StateStore::DynamoDb(table).load(STAGE, LANE, None).await.unwrap_err();
    assert_eq!(error.class(), Class::Fatal);
    assert!(error.to_string().contains("is damaged: the checksum of state#analyze#3/delta#"), "{error}");
}
