//! Random actions on the embedded engine and on a plain model of it, which must agree at every step; and at every step
//! the books balance.
//!
//! The seed is fixed: a failure comes again, already shrunk to few actions.

use std::time::Duration;

use millstream::queue::{
    Commit, DeadFilter, DeadLetter, EncodedFrame, Holder,
    QueueName::{self, Notify, Transform, Validate},
    Queues, Receipt, Span, Verdict,
};
use proptest::{
    collection::vec,
    prelude::{ProptestConfig, Strategy, any},
    prop_oneof,
    test_runner::{RngSeed, TestRunner},
};
use stages::plan::Counts;

use crate::{
    engine::{
        DEDUPE_WINDOW, Engine, LEASE, Limits, MAX_ATTEMPTS, NONE, id, is_lost, numbers, publish, receive,
        sized,
    },
    sqlite::Sqlite,
};

const LANES: u16 = 3;
const HOLDERS: usize = 3;
/// The bytes of every frame.
const BYTES: usize = 10;

#[derive(Debug, Clone)]
enum Action {
    Publish {
        ordered: bool,
        lane: u16,
    },
    /// The last frame again.
    Repeat,
    Receive {
        ordered: bool,
        holder: usize,
        frames: usize,
    },
    /// Of all deliveries so far, one of the last few.
    Settle {
        back: usize,
        verdict: Verdict,
    },
    /// As a stage does it: its rows are counted. With `poison`, one of them is given up.
    Consume {
        back: usize,
        poison: bool,
    },
    Extend {
        back: usize,
    },
    /// All dead letters of a queue.
    Requeue {
        ordered: bool,
    },
    DropDead {
        ordered: bool,
    },
    Advance {
        secs: u64,
    },
    Die,
}

fn action() -> impl Strategy<Value = Action> {
    let verdict = prop_oneof![
        2 => (0..2_u64).prop_map(|step| Verdict::Retry(Duration::from_secs(step * 15))),
        1 => (0..2_u64).prop_map(|step| Verdict::Later(Duration::from_secs(step * 15))),
        1 => (0..1_u8).prop_map(|_| Verdict::Dead("given up".into())),
    ];
    prop_oneof![
        8 => (any::<bool>(), 0..LANES).prop_map(|(ordered, lane)| Action::Publish { ordered, lane }),
        8 => (any::<bool>(), 0..HOLDERS, 1..6_usize)
            .prop_map(|(ordered, holder, frames)| Action::Receive { ordered, holder, frames }),
        1 => (0..1_u8).prop_map(|_| Action::Repeat),
        4 => (0..8_usize, verdict).prop_map(|(back, verdict)| Action::Settle { back, verdict }),
        4 => (0..8_usize, any::<bool>()).prop_map(|(back, poison)| Action::Consume { back, poison }),
        1 => any::<bool>().prop_map(|ordered| Action::Requeue { ordered }),
        1 => any::<bool>().prop_map(|ordered| Action::DropDead { ordered }),
        1 => (0..8_usize).prop_map(|back| Action::Extend { back }),
        3 => (1..25_u64).prop_map(|secs| Action::Advance { secs }),
        2 => (0..1_u8).prop_map(|_| Action::Die),
    ]
}

/// A frame as the model has it; the vector they are in is the order of publishing.
#[derive(Debug, Clone)]
struct Frame {
    number: u32,
    queue: QueueName,
    lane: u16,
    attempts: u32,
    losses: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Waiting,
    PutOff { until: u64 },
    Held { holder: usize, lease: usize, until: u64 },
}

#[derive(Debug, Default)]
struct Model {
    now: u64,
    frames: Vec<Frame>,
    /// By number of letter.
    dead: Vec<Frame>,
    leases: usize,
    entered: [u64; 2],
    dropped: [u64; 2],
    taken: [u64; 2],
}

/// The place of a queue's rows in the model.
fn place(queue: QueueName) -> usize {
    usize::from(queue == Transform)
}

impl Model {
    fn publish(&mut self, number: u32, queue: QueueName, lane: u16) {
        self.entered[place(queue)] += u64::from(number);
        self.frames.push(Frame { number, queue, lane, attempts: 0, losses: 0, state: State::Waiting });
    }

    fn receive(&mut self, queue: QueueName, holder: usize, limit: usize) -> Vec<(u32, u32, bool)> {
        self.free_due();
        let mine =
            |frame: &Frame| matches!(frame.state, State::Held { holder: other, .. } if other == holder);
        let in_queue: Vec<&Frame> = self.frames.iter().filter(|frame| frame.queue == queue).collect();
        if in_queue.iter().any(|frame| mine(frame) && frame.losses >= 3) {
            return Vec::new();
        }
        let holds_some = in_queue.iter().any(|frame| mine(frame));
        let next = in_queue.iter().find(|frame| {
            let closed =
                |other: &&&Frame| other.lane == frame.lane && other.state != State::Waiting && !mine(other);
            frame.state == State::Waiting
                && !(queue.is_ordered() && in_queue.iter().any(|other| closed(&other)))
        });
        let Some(next) = next.map(|frame| (frame.lane, frame.losses >= 3)) else { return Vec::new() };
        let (lane, suspect) = next;
        if suspect && holds_some {
            return Vec::new();
        }
        self.leases += 1;
        let state = State::Held { holder, lease: self.leases, until: self.now + LEASE.as_secs() };
        let (mut limit, mut run) = (limit, Vec::new());
        for frame in &mut self.frames {
            let in_line = frame.queue == queue && (frame.lane == lane || !queue.is_ordered());
            if !in_line || frame.state != State::Waiting {
                continue;
            }
            limit = limit.min([usize::MAX, usize::MAX, usize::MAX, 16, 4, 1][frame.losses.min(5) as usize]);
            if run.len() >= limit || (frame.losses >= 3) != suspect {
                break;
            }
            frame.state = state;
            run.push((frame.number, frame.attempts, suspect));
        }
        run
    }

    /// Whether the lease was still there.
    fn settle(&mut self, number: u32, lease: usize, verdict: &Verdict) -> bool {
        let Some(at) = self.find(number, lease) else { return false };
        match verdict {
            Verdict::Done => drop(self.frames.remove(at)),
            Verdict::Dead(_) => self.dead.push(self.frames.remove(at)),
            Verdict::Retry(after) | Verdict::Later(after) => {
                self.give_back(at, false);
                let frame = &mut self.frames[at];
                frame.attempts += u32::from(matches!(verdict, Verdict::Retry(_)));
                if !after.is_zero() {
                    frame.state = State::PutOff { until: self.now + after.as_secs() };
                }
            }
        }
        true
    }

    /// Whether the lease was still there.
    fn consume(&mut self, number: u32, lease: usize, poison: bool) -> bool {
        let Some(at) = self.find(number, lease) else { return false };
        let frame = self.frames.remove(at);
        self.taken[place(frame.queue)] += u64::from(number) - u64::from(poison);
        if poison {
            self.dead.push(Frame { number: 1, ..frame });
        }
        true
    }

    fn requeue(&mut self, queue: QueueName) {
        for frame in self.dead.extract_if(.., |frame| frame.queue == queue) {
            self.frames.push(Frame { attempts: 0, losses: 0, state: State::Waiting, ..frame });
        }
    }

    fn drop_dead(&mut self, queue: QueueName) {
        for frame in self.dead.extract_if(.., |frame| frame.queue == queue) {
            self.dropped[place(queue)] += u64::from(frame.number);
        }
    }

    fn extend(&mut self, number: u32, lease: usize) -> bool {
        let Some(at) = self.find(number, lease) else { return false };
        if let State::Held { until, .. } = &mut self.frames[at].state {
            *until = self.now + LEASE.as_secs();
        }
        true
    }

    fn find(&self, number: u32, wanted: usize) -> Option<usize> {
        let held = |frame: &Frame| matches!(frame.state, State::Held { lease, .. } if lease == wanted);
        self.frames.iter().position(|frame| frame.number == number && held(frame))
    }

    fn free_due(&mut self) {
        for at in (0..self.frames.len()).rev() {
            match self.frames[at].state {
                State::PutOff { until } if until <= self.now => self.frames[at].state = State::Waiting,
                State::Held { until, .. } if until <= self.now => self.give_back(at, true),
                _ => {}
            }
        }
        self.bury();
    }

    fn die(&mut self) {
        for at in (0..self.frames.len()).rev() {
            if matches!(self.frames[at].state, State::Held { .. }) {
                self.give_back(at, true);
            }
        }
        self.bury();
    }

    /// The frame and, in an ordered queue, those held after it.
    fn give_back(&mut self, at: usize, lost: bool) {
        let Frame { queue, lane, .. } = self.frames[at];
        for (index, frame) in self.frames.iter_mut().enumerate().skip(at) {
            let after = queue.is_ordered() && frame.queue == queue && frame.lane == lane;
            if matches!(frame.state, State::Held { .. }) && (index == at || after) {
                frame.state = State::Waiting;
                frame.attempts += u32::from(lost && frame.losses >= 5);
                frame.losses += u32::from(lost);
            }
        }
    }

    fn bury(&mut self) {
        let (dead, alive) = self.frames.drain(..).partition(|frame| {
            frame.state == State::Waiting && frame.losses > 5 && frame.attempts > MAX_ATTEMPTS
        });
        self.frames = alive;
        self.dead.extend(Vec::into_iter(dead));
    }

    /// Frames, those in flight, dead letters and their rows.
    fn depth(&self, queue: QueueName) -> (usize, usize, usize, u64) {
        let in_queue = || self.frames.iter().filter(|frame| frame.queue == queue);
        let held = in_queue().filter(|frame| matches!(frame.state, State::Held { .. }));
        let dead = || self.dead.iter().filter(|dead| dead.queue == queue);
        (in_queue().count(), held.count(), dead().count(), dead().map(|dead| u64::from(dead.number)).sum())
    }
}

/// The engine under test beside the model.
struct Both {
    engine: Sqlite,
    queues: Queues,
    holders: Vec<Holder>,
    model: Model,
    /// Every delivery so far: its receipt, its number and the model's lease.
    deliveries: Vec<(Receipt, u32, usize)>,
    published: u32,
    /// Where the last frame went, and when.
    last: Option<(QueueName, u16, u64)>,
    poisons: u32,
}

impl Both {
    async fn start() -> Self {
        let engine = Sqlite::start(Limits::default()).await;
        let queues = engine.queues();
        let holders = (0..HOLDERS).map(|_| queues.holder()).collect();
        let (model, deliveries) = (Model::default(), Vec::new());
        Self { engine, queues, holders, model, deliveries, published: 0, last: None, poisons: 0 }
    }

    async fn act(&mut self, action: Action) {
        match action {
            Action::Publish { ordered, lane } => {
                self.published += 1;
                publish(&self.queues, name(ordered), [sized(self.published, lane, BYTES)]).await;
                self.model.publish(self.published, name(ordered), lane);
                self.last = Some((name(ordered), lane, self.model.now));
            }
            Action::Repeat => {
                let Some((queue, lane, at)) = self.last else { return };
                if self.model.now - at < DEDUPE_WINDOW.as_secs() {
                    publish(&self.queues, queue, [sized(self.published, lane, BYTES)]).await;
                }
            }
            Action::Receive { ordered, holder, frames } => self.receive(name(ordered), holder, frames).await,
            Action::Settle { back, verdict } => {
                let Some((receipt, number, lease)) = self.delivery(back) else { return };
                let answers = self.queues.settle(vec![(receipt, verdict.clone())]).await;
                assert_eq!(!is_lost(&answers[0]), self.model.settle(number, lease, &verdict), "{answers:?}");
            }
            Action::Consume { back, poison } => self.consume(back, poison).await,
            Action::Requeue { ordered } => {
                let filter = DeadFilter { queue: Some(name(ordered)), ..DeadFilter::default() };
                self.queues.requeue(filter, Span::ALL).await.expect("requeued");
                self.model.requeue(name(ordered));
            }
            Action::DropDead { ordered } => {
                let filter = DeadFilter { queue: Some(name(ordered)), ..DeadFilter::default() };
                self.queues.drop_dead(filter, Span::ALL).await.expect("dropped");
                self.model.drop_dead(name(ordered));
            }
            Action::Extend { back } => {
                let Some((receipt, number, lease)) = self.delivery(back) else { return };
                let answers = self.queues.extend(vec![receipt]).await;
                assert_eq!(!is_lost(&answers[0]), self.model.extend(number, lease), "{answers:?}");
            }
            Action::Advance { secs } => {
                self.engine.advance(Duration::from_secs(secs)).await;
                self.model.now += secs;
            }
            Action::Die => {
                self.engine.die().await;
                self.queues = self.engine.queues();
                self.holders = (0..HOLDERS).map(|_| self.queues.holder()).collect();
                // What is due is freed first, and what the dead held next, at the first look.
                assert_eq!(numbers(&receive(&self.queues, Notify, self.holders[0], 1).await), NONE);
                self.model.free_due();
                self.model.die();
            }
        }
    }

    async fn receive(&mut self, queue: QueueName, holder: usize, frames: usize) {
        let run = receive(&self.queues, queue, self.holders[holder], frames).await;
        let seen: Vec<_> =
            run.iter().map(|delivery| (delivery.frame.rows, delivery.attempts, delivery.suspect)).collect();
        assert_eq!(seen, self.model.receive(queue, holder, frames), "frames, attempts and suspicion");
        let lease = self.model.leases;
        self.deliveries
            .extend(run.into_iter().map(|delivery| (delivery.receipt, delivery.frame.rows, lease)));
    }

    async fn consume(&mut self, back: usize, poison: bool) {
        let Some((receipt, number, lease)) = self.delivery(back) else { return };
        let queue = receipt.queue();
        let consumed = u64::from(number) - u64::from(poison);
        let mut commit = Commit {
            receipts: vec![receipt],
            counts: Some((queue.as_str(), Counts { consumed, ..Counts::default() })),
            ..Commit::default()
        };
        if poison {
            self.poisons += 1;
            let lane = self.model.find(number, lease).map_or(0, |at| self.model.frames[at].lane);
            let frame = EncodedFrame { id: id(1_000_000 + self.poisons), rows: 1, ..sized(1, lane, BYTES) };
            commit.dead = vec![DeadLetter { queue, frame, attempts: 5, reason: "poison".into() }];
        }
        let answer = self.queues.commit(vec![commit]).await.remove(0);
        assert_eq!(!is_lost(&answer), self.model.consume(number, lease, poison), "{answer:?}");
    }

    fn delivery(&self, back: usize) -> Option<(Receipt, u32, usize)> {
        self.deliveries.iter().rev().nth(back).cloned()
    }

    async fn compare(&self) {
        let audit = self.queues.audit(true).await.expect("audited");
        assert_eq!(audit.miscounts, []);
        for queue in [Validate, Transform] {
            let depth = self.queues.depth(queue).await.expect("depth");
            let seen =
                (depth.frames as usize, depth.in_flight as usize, depth.dead as usize, depth.dead_rows);
            assert_eq!(seen, self.model.depth(queue), "frames, in flight and dead in {queue}");
            assert_eq!(depth.bytes, depth.frames * BYTES as u64, "bytes in {queue}");
            let balance = audit.balances[queue as usize];
            let (account, place) = (balance.account, place(queue));
            let counted = (account.entered, account.dropped, balance.taken);
            let expected = (self.model.entered[place], self.model.dropped[place], self.model.taken[place]);
            assert_eq!(counted, expected, "entered, dropped and taken of {queue}");
            assert_eq!(balance.missing(), 0, "{queue}: {account:?}");
        }
    }
}

fn name(ordered: bool) -> QueueName {
    if ordered { Transform } else { Validate }
}

fn check(actions: Vec<Action>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let mut both = Both::start().await;
        for action in actions {
            both.act(action).await;
            both.compare().await;
        }
    });
}

#[test]
fn conformance_random_actions_agree_with_the_model() {
    let config = ProptestConfig {
        cases: 100,
        rng_seed: RngSeed::Fixed(20_260_101),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new(config);
    runner
        .run(&vec(action(), 1..80), |actions| {
            check(actions);
            Ok(())
        })
        .expect("the engine and the model agree");
}
