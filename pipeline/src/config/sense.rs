//! Checks what no schema can say: whether the parts of a topology fit together and can be carried out.

use std::{path::Path, sync::Arc};

use stages::{
    alert::{Alert, RuleMistake},
    analyze::Analyze,
    topic::{ConfigMistake, Topics},
    transform::Transform,
    validate::{Schemas, Validate},
};

use super::{
    finding::Finding,
    pointer::spoken,
    prune::Pruned,
    topology::{ListenerConfig, Topology},
};

/// The stages of a topology, ready to plan.
#[derive(Debug, Clone)]
pub struct Stages {
    /// The patterns that messages are sorted by.
    pub topics: Topics,
    /// Checks messages against their JSON Schema.
    pub validate: Arc<Validate>,
    /// Turns messages into readings.
    pub transform: Arc<Transform>,
    /// Drops repeats, marks late rows, scores.
    pub analyze: Arc<Analyze>,
    /// Runs rules.
    pub alert: Arc<Alert>,
}

/// What a check has found, and the stages if it found no mistake in them.
pub(super) struct Sense {
    pub(super) mistakes: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
    pub(super) stages: Option<Stages>,
}

/// Checks `topology`, which is what is left of a file in `folder`.
pub(super) fn check(topology: &Topology, file: &Pruned, folder: &Path, schemas: &Schemas) -> Sense {
    let mut mistakes = Vec::new();
    let stages = stages(topology, schemas, &mut mistakes);
    if !file.lost("/ingest/listener/allow_anonymous") {
        let text = exposed(&topology.ingest.listener);
        mistakes.extend(text.map(|text| Finding::of_value("/ingest/listener/listen", text)));
    }
    let lake = topology.store.lake.as_deref();
    for (pointer, path) in [("/data", Some(topology.data.as_path())), ("/store/lake", lake)] {
        let text = path.and_then(|path| no_directory(&folder.join(path)));
        mistakes.extend(text.map(|text| Finding::of_value(pointer, text)));
    }
    mistakes.extend(limits(topology).iter().filter_map(|limit| limit.finding(file)));
    let mut warnings = warnings(topology);
    if let Some(subscriber) = &topology.ingest.subscriber {
        mistakes.extend(subscriber.mistakes(topology));
        warnings.extend(subscriber.warnings(folder));
    }
    Sense { mistakes, warnings, stages }
}

fn stages(topology: &Topology, schemas: &Schemas, mistakes: &mut Vec<Finding>) -> Option<Stages> {
    let mut of_topics = |found: Vec<ConfigMistake>| {
        let finding = |mistake: ConfigMistake| {
            Finding::of_value(&format!("/topics{}", mistake.pointer), mistake.message)
        };
        mistakes.extend(found.into_iter().map(finding));
    };
    let topics = Topics::from_config(&topology.topics).map_err(&mut of_topics);
    let validate = Validate::new(&topology.topics, schemas).map_err(&mut of_topics);
    let transform = Transform::new(&topology.topics, topology.lanes).map_err(&mut of_topics);
    let alert = Alert::new(&topology.alert).map_err(|found| mistakes.extend(found.iter().map(of_rule)));
    Some(Stages {
        topics: topics.ok()?,
        validate: Arc::new(validate.ok()?),
        transform: Arc::new(transform.ok()?),
        analyze: Arc::new(Analyze::new(&topology.analyze)),
        alert: Arc::new(alert.ok()?),
    })
}

fn of_rule(mistake: &RuleMistake) -> Finding {
    let name = if matches!(mistake, RuleMistake::Name { .. }) { "/name" } else { "" };
    Finding::of_value(&format!("/alert/rules/{}{name}", mistake.index()), mistake.to_string())
}

/// What is wrong when other machines could publish without anybody's leave.
pub(super) fn exposed(listener: &ListenerConfig) -> Option<String> {
    let open = !listener.allow_anonymous && !listener.listen.ip().is_loopback();
    open.then(|| {
        format!(
            "{} can be reached from other machines, and anyone there could publish; \
             listen on 127.0.0.1, or set allow_anonymous: true",
            listener.listen
        )
    })
}

/// What is wrong when something other than a directory is at `path`.
pub(super) fn no_directory(path: &Path) -> Option<String> {
    let other = path.exists() && !path.is_dir();
    other.then(|| format!("{} is there, but not a directory; name another", path.display()))
}

/// Two limits of which the first must not be greater than the second.
struct Limit {
    smaller: (&'static str, u64),
    greater: (&'static str, u64),
    why: &'static str,
}

fn limits(topology: &Topology) -> [Limit; 5] {
    let Topology { ingest, queues, store, .. } = topology;
    let limit = |smaller, greater, why| Limit { smaller, greater, why };
    let frame = ("/queues/frame_bytes_max", queues.frame_bytes_max);
    [
        limit(
            ("/ingest/listener/packet_bytes_max", ingest.listener.packet_bytes_max.into()),
            frame,
            "a message must fit into a frame",
        ),
        limit(
            ("/ingest/frame_bytes_max", ingest.frame_bytes_max),
            frame,
            "the queue would refuse the frames of ingest",
        ),
        limit(
            ("/ingest/frame_bytes_max", ingest.frame_bytes_max),
            ("/ingest/buffer_bytes_max", ingest.buffer_bytes_max),
            "a frame must fit into the buffer",
        ),
        limit(frame, ("/queues/queue_bytes_max", queues.queue_bytes_max), "a frame must fit into a queue"),
        limit(
            ("/store/age_secs", store.age_secs.into()),
            ("/store/age_secs_max", store.age_secs_max.into()),
            "the age grows up to that",
        ),
    ]
}

impl Limit {
    /// The mistake, if it is one; about the one of the two that the file gives.
    fn finding(&self, file: &Pruned) -> Option<Finding> {
        let ((small, low), (great, high)) = (self.smaller, self.greater);
        if low <= high || file.lost(small) || file.lost(great) {
            return None;
        }
        let why = self.why;
        Some(if file.gives(small) || !file.gives(great) {
            Finding::of_value(small, format!("{low} is more than {} ({high}); {why}", spoken(great)))
        } else {
            Finding::of_value(great, format!("{high} is less than {} ({low}); {why}", spoken(small)))
        })
    }
}

fn warnings(topology: &Topology) -> Vec<Finding> {
    let analyze = &topology.analyze;
    let forgets = analyze.dedupe_secs < analyze.allowed_lateness_secs;
    let text = || {
        let (dedupe, late) = (analyze.dedupe_secs, analyze.allowed_lateness_secs);
        format!(
            "{dedupe} is less than allowed_lateness_secs ({late}); repeats older than {dedupe} s are stored again"
        )
    };
    forgets.then(|| Finding::of_value("/analyze/dedupe_secs", text())).into_iter().collect()
}
