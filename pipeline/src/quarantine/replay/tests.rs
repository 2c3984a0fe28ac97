use std::{fs, path::Path};

use super::{
    super::{Filter, Take, tests},
    *,
};
use crate::{
    config::Config,
    database::{Database, Turn},
    queue::{ReceiveLimits, SqliteOptions, SqliteQueues},
};

const TOPOLOGY: &str = "
topics:
  - pattern: devices/{device}
    transform: { preset: device_sim, device: { capture: device } }
";
const MESSAGES: u64 = 12;

/// What a replay needs: its config, queues and a lake of as many refused messages, each replayed once before.
async fn world(directory: &Path) -> (Config, SqliteQueues, Reader) {
    let topology = directory.join("millstream.yaml");
    fs::write(&topology, TOPOLOGY).unwrap();
    let config = Config::load(Some(&topology)).unwrap();
    let database = Database::open(&directory.join("queues.db")).unwrap();
    let queues = SqliteQueues::open(database.clone(), SqliteOptions::default()).await.unwrap();
    let messages: Vec<_> = (0..MESSAGES).map(|message| (message, 5)).collect();
    let good = br#"{"ts": "1970-01-01T00:00:00Z", "seq": 1, "metrics": {"t": 1}}"#;
    let lake = directory.join("quarantine");
    tests::write(&lake.join("date=1970-01-01/a.parquet"), &tests::rows_with(&messages, good), 1_000);
    let all = (Filter::default(), Take::All);
    let topics = config.stages().topics.clone();
    let reader = Reader::open(lake, topics, all, Replayed::new(Some(database))).unwrap();
    (config, queues, reader)
}

/// Messages that wait in the queue validate, each with its replays.
async fn published(queues: &Queues) -> Vec<(u64, u32)> {
    let limits = ReceiveLimits { frames: 100, bytes: 1 << 30, wait: Duration::ZERO };
    let run = queues.receive(QueueName::Validate, queues.holder(), limits).await.unwrap();
    let frames = run.iter().map(|delivery| stages::frame::decode(&delivery.frame.bytes).unwrap());
    let mut messages: Vec<_> = frames.flat_map(|frame| messages_of(&frame).unwrap()).collect();
    messages.sort_unstable();
    messages
}

#[tokio::test]
async fn what_somebody_else_replays_meanwhile_does_not_come_back_twice() {
    let directory = tempfile::tempdir().unwrap();
    let (config, engine, mut reader) = world(directory.path()).await;
    let queues = Queues::Sqlite(engine.clone());
    let options = ReplayOptions { rate: 0, limit: None, dry_run: false };
    let mut waits = || ();
    let mut replay = Replay::new((&queues, config.stages()), config.packer_options(), options, &mut waits);
    let picked = reader.next().await.unwrap().unwrap();
    let rows = picked.rows().unwrap();
    (0..rows.len()).for_each(|row| replay.add(&picked, &rows, row));

    // Another replay has the even ones; what it replayed of an odd one was the refusal before this one.
    let others: Vec<_> = (0..MESSAGES).step_by(2).map(|message| (message, 2)).chain([(1, 1)]).collect();
    engine
        .commit_with(Commit::default(), Turn::Common, move |connection| remember(connection, &others))
        .await
        .unwrap();
    replay.publish(reader.replayed()).await.unwrap();

    let half = MESSAGES / 2;
    assert_eq!(replay.outcome, Outcome { replayed: half, before: half, ..Outcome::default() });
    let expected: Vec<_> = (1..MESSAGES).step_by(2).map(|message| (message, 2)).collect();
    assert_eq!(published(&queues).await, expected);
    let replayed = reader.replayed().of((0..MESSAGES).collect()).await.unwrap();
    assert_eq!(replayed, [2; MESSAGES as usize]);
    assert_eq!(queues.books().await.unwrap()[STAGE].consumed, half, "what was undone is in no book");
}
