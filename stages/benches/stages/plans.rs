//! The stages.

use divan::{Bencher, counter::ItemsCount};
use serde_json::{Value, json};
use stages::{
    alert::{Alert, AlertState},
    analyze::AnalyzeState,
    store::{Dataset, Gather, Granularity, arrange},
};

use crate::fixture::{self, SIZES};

/// The floor.
#[divan::bench(args = SIZES)]
fn floor_json_to_a_tree(bencher: Bencher<'_, '_>, count: u64) {
    let payloads: Vec<String> = (0..count).map(fixture::payload).collect();
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        for payload in &payloads {
            divan::black_box(serde_json::from_str::<Value>(payload).unwrap());
        }
    });
}

#[divan::bench(args = SIZES)]
fn validate(bencher: Bencher<'_, '_>, count: u64) {
    let (stage, frame) = (fixture::validate(), fixture::messages(0, count));
    bencher.counter(ItemsCount::new(count)).bench_local(|| stage.plan(&frame).unwrap());
}

#[divan::bench(args = SIZES)]
fn transform(bencher: Bencher<'_, '_>, count: u64) {
    let (stage, frame) = (fixture::transform(), fixture::messages(0, count));
    bencher.counter(ItemsCount::new(count)).bench_local(|| stage.plan(&frame).unwrap());
}

/// On a state that knows the devices; each frame goes on where the last one ended.
#[divan::bench(args = SIZES)]
fn analyze(bencher: Bencher<'_, '_>, count: u64) {
    let (stage, mut state, mut first) = (fixture::analyze(), AnalyzeState::default(), 0);
    let mut frame = || {
        let frame = fixture::readings(first, count);
        first += count;
        frame
    };
    for _ in 0..2_000 / count {
        stage.plan(&mut state, &frame()).unwrap();
    }
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(frame)
        .bench_local_values(|frame| stage.plan(&mut state, &frame).unwrap());
}

/// Two rules, neither of which fires.
#[divan::bench(args = SIZES)]
fn alert(bencher: Bencher<'_, '_>, count: u64) {
    let rules = json!({ "rules": [
        { "name": "hot", "metric": "temperature", "above": 90 },
        { "name": "strange", "metric": "pressure", "anomaly_score_at_least": 1.0 },
    ]});
    let stage = Alert::new(&serde_json::from_value(rules).unwrap()).unwrap();
    let (mut state, frame) = (AlertState::default(), fixture::scored(0, count));
    bencher.counter(ItemsCount::new(count)).bench_local(|| stage.plan(&mut state, &frame).unwrap());
}

/// The order of the rows in the lake.
#[divan::bench(args = SIZES)]
fn store_arrange(bencher: Bencher<'_, '_>, count: u64) {
    let batches = [fixture::scored(0, count).rows];
    bencher
        .counter(ItemsCount::new(count))
        .bench_local(|| arrange(Dataset::Readings, Granularity::Day, &batches).unwrap());
}

/// The rows of ten frames in that order.
#[divan::bench(args = SIZES)]
fn store_gather(bencher: Bencher<'_, '_>, count: u64) {
    let part = |number| fixture::scored(number * count / 10, count / 10).rows;
    let batches: Vec<_> = (0..10).map(part).collect();
    let runs = arrange(Dataset::Readings, Granularity::Day, &batches).unwrap();
    let batches: Vec<_> = batches.iter().collect();
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        let mut gather = Gather::of(&batches).unwrap();
        runs.iter().map(|(_, order)| gather.take(order).unwrap().num_rows()).sum::<usize>()
    });
}
