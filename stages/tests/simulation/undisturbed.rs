//! The same messages with nothing in the way: each message a frame of its own, each device by itself, one state that stays
//! in memory. Nothing is encoded, queued, joined or saved.

use std::collections::BTreeMap;

use arrow_array::BooleanArray;
use arrow_select::filter::filter_record_batch;
use stages::{
    frame::{Frame, FrameId, Header, Lane},
    plan::{Plan, Port},
    stage,
    store::Dataset,
};

use crate::{
    ingest::{self, Taken},
    rows::{readings_of, texts},
    topology::{self, ALERT, ANALYZE, TRANSFORM, VALIDATE, Version},
    world::{Scenario, World},
};

/// The rows of the lake as texts, by dataset.
pub(crate) type Rows = BTreeMap<Dataset, Vec<String>>;

/// The readings of one message of one device.
struct Said {
    message: u64,
    poison: Option<usize>,
    frame: Frame,
}

/// What the messages of `world` come to.
pub(crate) fn rows(world: &World<'_>) -> Rows {
    let mut rows = Rows::new();
    let mut devices: BTreeMap<String, Vec<Said>> = BTreeMap::new();
    for taken in world.taken.values() {
        let lenient = world.lenient_from.is_some_and(|from| taken.message >= from);
        let poison = world.scenario.inputs[taken.input].poison;
        for frame in readings(world.scenario, taken, lenient, &mut rows) {
            for device in devices_of(&frame) {
                let frame = of_device(&frame, &device);
                devices.entry(device).or_default().push(Said { message: taken.message, poison, frame });
            }
        }
    }
    for (device, said) in devices {
        run_device(world, &device, &said, &mut rows);
    }
    rows
}

/// The readings of one message; what is refused goes into `rows`.
fn readings(scenario: &Scenario, taken: &Taken, lenient: bool, rows: &mut Rows) -> Vec<Frame> {
    let id = FrameId::ingested(0, taken.message);
    let version = if lenient { Version::Lenient } else { Version::First };
    let poison = scenario.inputs[taken.input].poison;
    let mut frames = vec![ingest::messages(Header { id, ..ingest::header(0) }, &[*taken], &scenario.inputs)];
    for number in [VALIDATE, TRANSFORM] {
        if poison == Some(number) {
            return Vec::new();
        }
        let stage = topology::stage(number, version, scenario.lanes, scenario.memory);
        let plans = frames.iter().map(|frame| stage::plan(stage, &mut stage.empty_state(), frame).unwrap());
        frames = plans.flat_map(|plan| forward(plan, rows)).collect();
    }
    frames
}

fn run_device(world: &World<'_>, device: &str, said: &[Said], rows: &mut Rows) {
    let Scenario { lanes, memory, .. } = *world.scenario;
    let [analyze, alert] =
        [ANALYZE, ALERT].map(|number| topology::stage(number, Version::First, lanes, memory));
    let (mut analyzed, mut alerted) = (analyze.empty_state(), alert.empty_state());
    let mut hear = |frame: &Frame, poison: Option<usize>| {
        if poison == Some(ANALYZE) {
            return;
        }
        let plan = stage::plan(analyze, &mut analyzed, frame).unwrap();
        for frame in forward(plan, rows) {
            if poison == Some(ALERT) {
                continue;
            }
            for readings in forward(stage::plan(alert, &mut alerted, &frame).unwrap(), rows) {
                store(&readings, rows);
            }
        }
    };
    let mut ticks = world.heard.get(device).map_or(&[][..], |heard| &heard.ticks).iter().peekable();
    let tick = |instant| Frame::tick(Lane(0), instant);
    for Said { message, poison, frame } in said {
        while let Some((_, instant)) = ticks.next_if(|(after, _)| after < message) {
            hear(&tick(*instant), None);
        }
        hear(frame, *poison);
    }
    ticks.for_each(|(_, instant)| hear(&tick(*instant), None));
}

/// Stores what goes to the lake, and answers the rest.
fn forward(plan: Plan, rows: &mut Rows) -> Vec<Frame> {
    let (next, stored): (Vec<_>, Vec<_>) =
        plan.publish.into_iter().partition(|(port, _)| *port == Port::Next);
    stored.iter().for_each(|(_, frame)| store(frame, rows));
    next.into_iter().map(|(_, frame)| frame).collect()
}

fn store(frame: &Frame, rows: &mut Rows) {
    let Some(dataset) = Dataset::of(frame.header.kind) else { return };
    rows.entry(dataset).or_default().extend(texts(&frame.rows));
}

fn devices_of(frame: &Frame) -> Vec<String> {
    let mut devices: Vec<String> = readings_of(frame).into_iter().map(|(device, _)| device).collect();
    devices.sort();
    devices.dedup();
    devices
}

fn of_device(frame: &Frame, device: &str) -> Frame {
    let keep: BooleanArray = readings_of(frame).iter().map(|(other, _)| Some(other == device)).collect();
    Frame { rows: filter_record_batch(&frame.rows, &keep).unwrap(), ..frame.clone() }
}
