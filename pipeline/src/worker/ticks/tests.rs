mod flow;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use stages::frame::{self, Kind};

use super::{progress::LOOKS_MAX, *};
use crate::{
    database::Database,
    queue::{Clock, ReceiveLimits, SqliteOptions, SqliteQueues},
};

const EVERY: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_secs(6);
const LINGER: Duration = Duration::from_secs(3);
/// For queues that tell no ages, which these are not.
const HOLD: Duration = Duration::from_secs(3600);

/// Queues in a directory of their own, with a clock that can be set.
struct Bench {
    _directory: tempfile::TempDir,
    queues: Queues,
    behind: Arc<AtomicI64>,
}

impl Bench {
    async fn new(options: SqliteOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("millstream.db")).unwrap();
        let behind = Arc::new(AtomicI64::new(0));
        let clock = Clock::new({
            let behind = Arc::clone(&behind);
            move || now() - behind.load(Ordering::Relaxed)
        });
        let engine = SqliteQueues::open(database, SqliteOptions { clock, ..options }).await.unwrap();
        Self { _directory: directory, queues: Queues::Sqlite(engine), behind }
    }

    fn ticker(&self, stop: &watch::Sender<bool>) -> Ticker {
        let options = TickOptions { lanes: 4, every: EVERY, grace: GRACE, linger: LINGER, hold: HOLD };
        Ticker::new(self.queues.clone(), options, stop.subscribe())
    }

    /// Puts a frame into a queue as if it had been so many seconds ago.
    async fn publish(&self, queue: QueueName, secs_ago: i64) {
        self.behind.store(secs_ago * 1_000_000, Ordering::Relaxed);
        let frame = EncodedFrame::of(&Frame::tick(Lane(0), secs_ago)).unwrap();
        self.queues.publish(vec![Publish { queue, frame }]).await.remove(0).unwrap();
        self.behind.store(0, Ordering::Relaxed);
    }

    async fn frames(&self) -> u64 {
        self.queues.depth(QueueName::Analyze).await.unwrap().frames
    }
}

impl Ticker {
    /// A turn in the course of things.
    async fn tick(&mut self) -> Result<(), TickError> {
        self.went_at = now();
        self.turn(self.went_at).await
    }
}

#[tokio::test]
async fn every_lane_is_told_the_same_instant_once() {
    let bench = Bench::new(SqliteOptions::default()).await;
    let stop = watch::Sender::new(false);
    let before = now();
    bench.ticker(&stop).tick().await.unwrap();
    let limits = ReceiveLimits { frames: 10, bytes: 1 << 20, wait: Duration::ZERO };
    let mut told = Vec::new();
    for _ in 0..4 {
        let received = bench.queues.receive(QueueName::Analyze, bench.queues.holder(), limits).await.unwrap();
        let [delivery] = received.as_slice() else { panic!("a tick in each lane, not {received:?}") };
        let tick = frame::decode(&delivery.frame.bytes).unwrap();
        assert_eq!((tick.header.kind, tick.rows.num_rows()), (Kind::Tick, 0));
        told.push((tick.header.lane.0, tick.header.created_at));
    }
    told.sort_unstable();
    let instant = told[0].1;
    assert_eq!(told, [0, 1, 2, 3].map(|lane| (lane, instant)));
    assert_eq!(instant % micros(EVERY), 0);
    let (earliest, latest) =
        (before - micros(Duration::from_secs(6)), now() - micros(Duration::from_secs(4)));
    assert!((earliest..=latest).contains(&instant), "{instant} is not in {earliest}..{latest}");

    // Whoever else tells it makes the same frames, or those of an instant later.
    bench.ticker(&stop).tick().await.unwrap();
    let frames = bench.frames().await;
    let next = now() - micros(Duration::from_secs(4)) >= instant + micros(EVERY);
    assert!(frames == 4 || (next && frames == 8), "{frames}");
}

#[tokio::test]
async fn what_waits_before_analyze_holds_time_back() {
    for queue in [QueueName::Validate, QueueName::Transform] {
        let bench = Bench::new(SqliteOptions::default()).await;
        bench.publish(queue, 100).await;
        let mut ticker = bench.ticker(&watch::Sender::new(false));
        ticker.tick().await.unwrap();
        assert!(ticker.last < now() - micros(Duration::from_secs(103)), "{queue}");
    }
}

#[tokio::test]
async fn what_is_not_durable_yet_holds_time_back() {
    let bench = Bench::new(SqliteOptions::default()).await;
    let received_at = now() - micros(Duration::from_secs(100));
    let mut ticker = bench.ticker(&watch::Sender::new(false)).behind(move || Some(received_at));
    ticker.tick().await.unwrap();
    let latest = received_at - micros(LINGER);
    assert!((latest - micros(2 * EVERY)..latest).contains(&ticker.last), "{} for {latest}", ticker.last);
}

/// Seconds after the last tick, with whether messages are taken then; a tick comes with the last of them only.
async fn told_by(steps: &[(i64, bool)]) {
    let bench = Bench::new(SqliteOptions::default()).await;
    let serves = Arc::new(AtomicBool::new(true));
    let mut ticker = bench.ticker(&watch::Sender::new(false)).behind({
        let serves = Arc::clone(&serves);
        move || serves.load(Ordering::Relaxed).then(now)
    });
    let began_at = now();
    ticker.went_at = began_at;
    for (step, (secs, takes)) in (1..).zip(steps) {
        serves.store(*takes, Ordering::Relaxed);
        ticker.turn(began_at + secs * 1_000_000).await.unwrap();
        let expected = if step == steps.len() { 4 } else { 0 };
        assert_eq!(bench.frames().await, expected, "after {secs} s in {steps:?}");
    }
}

#[tokio::test]
async fn devices_may_come_back_after_a_standstill() {
    told_by(&[(8, true)]).await;
    // The process stood still, or the database.
    told_by(&[(9, true), (11, true), (13, true), (15, true)]).await;
    // No messages were taken, however short that was.
    told_by(&[(2, false), (4, true), (6, true), (8, true), (10, true)]).await;
    // Nor are they during the grace.
    told_by(&[(9, true), (11, false), (13, true), (15, true), (17, true), (19, true)]).await;
}

#[tokio::test]
async fn devices_may_come_back_after_a_start() {
    let bench = Bench::new(SqliteOptions::default()).await;
    let mut ticker = bench.ticker(&watch::Sender::new(false));
    let began_at = now();
    for secs in [0, 2, 4] {
        let at = began_at + secs * 1_000_000;
        ticker.turn(at).await.unwrap();
        assert_eq!((bench.frames().await, ticker.pause(at)), (0, EVERY));
    }
    let end = began_at + micros(GRACE);
    assert_eq!(ticker.pause(end - 1_000), Duration::from_millis(1));
    ticker.turn(end).await.unwrap();
    assert_eq!((bench.frames().await, ticker.pause(end)), (4, EVERY));
}

#[tokio::test]
async fn an_analyze_that_lags_is_told_nothing_more() {
    let bench = Bench::new(SqliteOptions::default()).await;
    bench.publish(QueueName::Analyze, 10).await;
    bench.ticker(&watch::Sender::new(false)).tick().await.unwrap();
    assert_eq!(bench.frames().await, 1);
}

#[tokio::test]
async fn a_full_queue_is_not_waited_for() {
    let bench = Bench::new(SqliteOptions { queue_bytes_max: 1, ..SqliteOptions::default() }).await;
    bench.publish(QueueName::Analyze, 0).await;
    let mut ticker = bench.ticker(&watch::Sender::new(false));
    timeout(Duration::from_secs(20), ticker.tick()).await.expect("in time").unwrap();
    assert_eq!((bench.frames().await, ticker.last), (1, Micros::MIN));
}

#[tokio::test]
async fn it_stops_at_once() {
    let bench = Bench::new(SqliteOptions::default()).await;
    let stop = watch::Sender::new(false);
    let running = tokio::spawn(bench.ticker(&stop).run());
    stop.send_replace(true);
    timeout(Duration::from_secs(20), stop.closed()).await.expect("in time");
    running.await.unwrap().unwrap();
    assert_eq!(bench.frames().await, 0);
}

/// A look that takes no time, while all that was received is durable.
fn look_at(at: Micros, validate: Option<Micros>, transform: Option<Micros>) -> Look {
    Look { durable: at, ingested_at: at, validate, validated_at: at, transform }
}

/// How far time has come after looks of (validate, transform), a look every 10 from 100 on; the margin is 1.
#[track_caller]
fn check(looks: &[(Option<Micros>, Option<Micros>)], expected: &[Micros]) {
    let mut progress = Progress::new(1);
    let look = |(step, (validate, transform)): (i64, &(Option<Micros>, Option<Micros>))| {
        progress.look(look_at(100 + 10 * step, *validate, *transform))
    };
    let found: Vec<_> = (0..).zip(looks).map(look).collect();
    assert_eq!(found, expected, "after {looks:?}");
}

#[test]
fn time_comes_on_with_what_has_left_both_queues() {
    const NEVER: Micros = Micros::MIN;
    // Nothing waits anywhere.
    check(&[(None, None), (None, None)], &[99, 109]);
    // What waits in validate was received at any time before it came there.
    check(&[(Some(50), None), (Some(50), None), (None, None)], &[NEVER, NEVER, 119]);
    check(&[(Some(50), None), (Some(101), None), (Some(110), None)], &[NEVER, 99, 99]);
    // Under load something always waits in transform: a look says something once what it saw there has left.
    check(&[(None, Some(95)), (None, Some(99)), (None, Some(115))], &[NEVER, NEVER, 109]);
    check(&[(None, Some(100)), (None, Some(101))], &[NEVER, 99]);
    // A backlog that leaves validate is young in transform, but was received long ago.
    check(
        &[(Some(20), None), (None, Some(105)), (None, Some(105)), (None, None)],
        &[NEVER, NEVER, NEVER, 129],
    );
    check(&[(Some(20), Some(90)), (Some(105), Some(95)), (Some(105), Some(111))], &[NEVER, NEVER, 99]);
    // A clock that was set back takes nothing back.
    check(&[(None, None), (Some(10), None)], &[99, 99]);
}

#[test]
fn a_message_that_was_long_in_ingest_is_no_younger_in_validate() {
    let mut progress = Progress::new(1);
    let held = |at| Look { durable: 30, ..look_at(at, None, None) };
    assert_eq!([100, 110].map(|at| progress.look(held(at))), [29, 29]);
    // It became durable at 115.
    assert_eq!(progress.look(look_at(120, Some(115), None)), 29);
    assert_eq!(progress.look(look_at(130, Some(125), None)), 119);
}

#[test]
fn a_long_backlog_is_remembered_in_little_room() {
    for (validate, transform) in [(Some(-1), None), (None, Some(-1))] {
        let mut progress = Progress::new(0);
        for at in 0..10_000 {
            progress.look(look_at(at, validate, transform));
        }
        assert_eq!(progress.remembered(), LOOKS_MAX);
        assert_eq!(progress.look(look_at(10_000, None, None)), 3_599);
        assert_eq!(progress.look(look_at(10_001, None, None)), 10_001);
    }
}

#[tokio::test]
async fn a_clock_that_is_put_back_is_followed_after_the_grace() {
    let bench = Bench::new(SqliteOptions::default()).await;
    let ahead = micros(Duration::from_secs(3600));
    let mut ticker = bench.ticker(&watch::Sender::new(false));
    ticker.tick().await.unwrap();
    // What it had come to while the clock was ahead.
    ticker.turned_at += ahead;
    ticker.last += ahead;
    ticker.grace_until = now() + ahead;
    ticker.turn(now()).await.unwrap();
    assert_eq!(ticker.last, Micros::MIN, "devices have time to come back");
    ticker.grace_until = Micros::MIN;
    ticker.tick().await.unwrap();
    let minute = micros(Duration::from_secs(60));
    assert!((now() - minute..now()).contains(&ticker.last), "time is told again");
}
