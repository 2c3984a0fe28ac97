//! What two stages make of a frame as one hop, beside what they make of it one after the other.

use std::collections::VecDeque;

use stages::{
    frame::{self, Frame},
    hop::{Hop, Part},
    plan::{Delta, Port},
    stage::{self, LaneState},
};

use crate::{
    queue::Outgoing,
    rows::oldest,
    topology::{ALERT, ANALYZE, STORE, TRANSFORM, VALIDATE},
    worker::Job,
    world::World,
};

/// Which stages a process runs as one hop with the stage behind: validate, analyze.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Groups {
    pub(crate) validate: bool,
    pub(crate) analyze: bool,
}

impl Groups {
    /// Whether a hop begins with the stage of this number.
    pub(crate) fn begin_with(self, stage: usize) -> bool {
        (stage == VALIDATE && self.validate) || (stage == ANALYZE && self.analyze)
    }
}

impl World<'_> {
    pub(crate) fn hop(&self, job: &Job) -> Hop {
        let mut stages = job.stages().map(|number| self.stage(job.process, number).clone());
        let first = Hop::of(stages.next().expect("a job has a stage"));
        stages.fold(first, Hop::then)
    }

    /// Whether some stage of the job fails whenever it sees the frame. At alert none does where it may be in a hop.
    pub(crate) fn fails(&self, job: &Job, frame: &Frame) -> bool {
        if self.is_poisoned(job.stage, frame) {
            return true;
        }
        if !job.stages().any(|number| number == TRANSFORM) || job.stage == TRANSFORM {
            return false;
        }
        let plan = stage::plan(self.stage(job.process, VALIDATE), &mut LaneState::Stateless, frame).unwrap();
        let mut passed = plan.publish.iter().filter(|(port, _)| *port == Port::Next);
        passed.any(|(_, frame)| self.is_poisoned(TRANSFORM, frame))
    }

    /// Whether something stands in the queue within the hop that was there when the job began.
    pub(crate) fn waits(&self, job: &Job) -> bool {
        job.stages().skip(1).any(|inner| self.queues[inner].stands(job.lane, job.until))
    }
}

/// Checks that the parts are those of the stages one after the other, with the codec between them.
pub(crate) fn check_parts(hop: &Hop, mut states: Vec<LaneState>, input: &Frame, parts: &[Part]) {
    let mut inputs = VecDeque::from([input.clone()]);
    for ((stage, state), part) in hop.stages().zip(&mut states).zip(parts) {
        let mut expected = Part::default();
        let mut next = VecDeque::new();
        for input in inputs {
            let plan = stage::plan(stage, state, &input).unwrap();
            expected.rows += input.rows.num_rows() as u64;
            expected.counts += plan.counts;
            let Delta(bytes) = &plan.delta;
            expected.deltas.extend((!bytes.is_empty()).then_some(plan.delta));
            for (port, out) in plan.publish {
                if port == Port::Next && stage.name() != hop.rest().last().unwrap_or(hop.first()).name() {
                    next.push_back(frame::decode(&frame::encode(&out).unwrap()).unwrap());
                } else {
                    expected.publish.push((port, out));
                }
            }
        }
        assert_eq!((part.rows, part.counts), (expected.rows, expected.counts), "{}", stage.name());
        assert!(part.deltas == expected.deltas, "{} changes its state otherwise in a hop", stage.name());
        let published = |part: &Part| {
            let bytes =
                |(port, frame): &(Port, Frame)| (*port, frame.header.id, frame::encode(frame).unwrap());
            part.publish.iter().map(bytes).collect::<Vec<_>>()
        };
        assert!(published(part) == published(&expected), "{} makes other frames in a hop", stage.name());
        inputs = next;
    }
}

/// Where each frame goes, as `pipeline/src/route.rs` says it, and as bytes; the parts begin with the stage of this number.
pub(crate) fn outgoing(first: usize, parts: &[Part]) -> Vec<(usize, Outgoing)> {
    let queue = |stage: usize, port: Port| match port {
        Port::Next if stage < ALERT => stage + 1,
        _ => STORE,
    };
    let frame = |frame: &Frame| Outgoing {
        lane: frame.header.lane,
        id: frame.header.id,
        bytes: frame::encode(frame).unwrap().into(),
        oldest: oldest(frame),
    };
    let of_part = |(index, part): (usize, &'_ Part)| {
        part.publish.iter().map(|(port, out)| (queue(first + index, *port), frame(out))).collect::<Vec<_>>()
    };
    parts.iter().enumerate().flat_map(of_part).collect()
}
