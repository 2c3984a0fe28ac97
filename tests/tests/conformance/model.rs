//! Random actions on the embedded engine and on a plain model of it, which must agree at every step; and at every step
//! the books balance.
//!
//! The seed is fixed: a failure comes again, already shrunk to few actions.

mod plain;

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

use self::plain::{Model, place};
use crate::{
    engine::{DEDUPE_WINDOW, Engine, Limits, NONE, id, is_lost, numbers, publish, receive, sized},
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
            counts: vec![(queue.as_str(), Counts { consumed, ..Counts::default() })],
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
