//! Two stages that are run as one hop.

use stages::alert::Alert;

use super::*;
use crate::queue::Verdict;

fn shared(stage: Stage) -> SharedStage {
    SharedStage::new(watch::channel(stage).1)
}

impl Bench {
    /// A worker that runs analyze and alert as one hop, and one of alert alone, as a process has them.
    fn start_hop(&self) -> Vec<tokio::task::JoinHandle<()>> {
        let analyze = shared(Stage::Analyze(Arc::new(Analyze::new(&AnalyzeConfig::default()))));
        let rules = serde_json::json!({ "rules": [{ "name": "warm", "metric": "temperature", "above": 0 }] });
        let alert = Alert::new(&serde_json::from_value(rules).unwrap()).unwrap();
        let alert = shared(Stage::Alert(Arc::new(alert)));
        let hops = [SharedHop::of(analyze).then(alert.clone()), SharedHop::of(alert)];
        let start = |hop| {
            let (queues, state) = (self.queues.clone(), self.state.clone());
            let worker = StageWorker::new(hop, queues, state, MAX_ATTEMPTS, self.stop.subscribe());
            tokio::spawn(async move { worker.run().await.unwrap() })
        };
        hops.map(start).into()
    }

    /// Works as one hop until nothing is left but for store.
    async fn work_as_hop(&self) -> Depth {
        let workers = self.start_hop();
        let empty = async {
            for queue in [QueueName::Analyze, QueueName::Alert] {
                while self.queues.depth(queue).await.unwrap().frames > 0 {
                    sleep(Duration::from_millis(5)).await;
                }
            }
        };
        timeout(Duration::from_secs(20), empty).await.expect("both queues are emptied");
        self.stop.send_replace(true);
        for worker in workers {
            worker.await.unwrap();
        }
        self.stop.send_replace(false);
        self.queues.depth(QueueName::Store).await.unwrap()
    }

    /// Rows that entered the queue of alert, and what is wrong with the books of analyze and alert.
    async fn entered_alert(&self) -> (u64, Vec<String>) {
        let audit = self.queues.audit(true).await.unwrap();
        let balance = |queue: QueueName| &audit.balances[queue as usize];
        let missing = [QueueName::Analyze, QueueName::Alert].map(balance).map(|balance| balance.missing());
        assert_eq!((missing, &audit.miscounts), ([0, 0], &vec![]));
        (balance(QueueName::Alert).account.entered, audit.mistakes())
    }
}

#[tokio::test]
async fn a_hop_of_two_stages_leaves_out_the_queue_between_them_but_not_its_books() {
    let bench = Bench::new().await;
    for index in 0..3 {
        bench.publish(EncodedFrame::of(&readings(index, 10)).unwrap()).await;
    }
    let store = bench.work_as_hop().await;
    assert_eq!(store.rows, 10 + 1, "the readings, and one alert");
    let books = bench.queues.books().await.unwrap();
    assert_eq!((books["analyze"].consumed, books["analyze"].repeated), (10, 20));
    assert_eq!((books["alert"].consumed, books["alert"].produced), (10, 11));
    assert_eq!(bench.entered_alert().await.0, 10);
}

#[tokio::test]
async fn the_states_of_a_hop_are_those_of_its_stages_alone() {
    let bench = Bench::new().await;
    bench.publish(EncodedFrame::of(&readings(0, 10)).unwrap()).await;
    bench.work().await;
    bench.stop.send_replace(false);
    assert_eq!(
        bench.queues.depth(QueueName::Alert).await.unwrap().rows,
        10,
        "what waits from before the group"
    );
    bench.publish(EncodedFrame::of(&readings(1, 12)).unwrap()).await;
    let store = bench.work_as_hop().await;
    assert_eq!(store.rows, 12 + 1, "ten of one, two new ones, and the alert that the first made fire");
    bench.publish(EncodedFrame::of(&readings(2, 13)).unwrap()).await;
    let (_, alert) = bench.work().await;
    assert_eq!(alert.rows, 1, "analyze alone knows what the hop has seen");
    assert_eq!(bench.entered_alert().await.0, 13);
}

#[tokio::test]
async fn a_row_that_fails_at_the_second_stage_is_a_dead_letter_of_the_first() {
    let long = long_text();
    // What alert sends on is too large for the queue of store; nothing is published between the stages.
    let bench = tight(&texts(0, &[(0, "short"), (1, &long), (2, "short")])).await;
    let store = bench.work_as_hop().await;
    assert_eq!(store.rows, 2);
    let dead = bench.queues.depth(QueueName::Analyze).await.unwrap();
    assert_eq!((dead.dead, dead.dead_rows), (1, 1));
    assert_eq!(bench.queues.depth(QueueName::Alert).await.unwrap().dead, 0);
    let books = bench.queues.books().await.unwrap();
    assert_eq!((books["analyze"].consumed, books["alert"].consumed), (2, 2));
    assert_eq!(bench.entered_alert().await.0, 2);
}

#[tokio::test]
async fn a_hop_waits_for_what_stands_in_the_queue_within_it() {
    let bench = Bench::new().await;
    bench.publish(EncodedFrame::of(&readings(0, 10)).unwrap()).await;
    bench.work().await;
    bench.stop.send_replace(false);
    // Another process holds it.
    let limits = ReceiveLimits { frames: 9, bytes: 1 << 20, wait: Duration::ZERO };
    let held = bench.queues.receive(QueueName::Alert, bench.queues.holder(), limits).await.unwrap();
    bench.publish(EncodedFrame::of(&readings(1, 12)).unwrap()).await;
    let workers = bench.start_hop();
    let taken = async {
        while bench.queues.depth(QueueName::Analyze).await.unwrap().in_flight == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), taken).await.expect("the hop takes the frame");
    // A worker that went on would be through in one commit, which takes a few milliseconds.
    for _ in 0..20 {
        sleep(Duration::from_millis(10)).await;
        assert_eq!(bench.queues.depth(QueueName::Analyze).await.unwrap().frames, 1);
    }
    assert_eq!(bench.queues.books().await.unwrap()["analyze"].consumed, 10);
    let held = held.into_iter().map(|delivery| (delivery.receipt, Verdict::Later(Duration::ZERO))).collect();
    bench.queues.settle(held).await.into_iter().collect::<Result<(), _>>().unwrap();
    let through = async {
        while bench.queues.depth(QueueName::Store).await.unwrap().rows < 13 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), through).await.expect("both frames go through");
    bench.stop.send_replace(true);
    for worker in workers {
        worker.await.unwrap();
    }
}

#[tokio::test]
async fn ticks_go_through_a_hop() {
    let bench = Bench::new().await;
    bench.publish(EncodedFrame::of(&readings(0, 10)).unwrap()).await;
    for secs in [119, 120, 125] {
        bench.publish(EncodedFrame::of(&Frame::tick(Lane(0), secs * 1_000_000)).unwrap()).await;
    }
    let store = bench.work_as_hop().await;
    assert_eq!(store.rows, 10 + 1 + 1, "the readings, one alert and one window");
}
