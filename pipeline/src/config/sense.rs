//! Checks what no schema can say: whether the parts of a topology fit together and can be carried out.

mod lake;
mod listener;
mod notify;
mod sqs;

use std::{path::Path, sync::Arc};

use stages::{
    alert::{Alert, RuleMistake},
    analyze::{Analyze, AnalyzeConfig},
    topic::Topics,
    transform::Transform,
    validate::Validate,
};

pub(super) use self::{lake::address, listener::exposed};
use super::{
    files,
    finding::Finding,
    groups,
    pointer::spoken,
    prune::Pruned,
    topology::{Engine, Topology},
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
pub(super) fn check(topology: &Topology, file: &Pruned, folder: &Path) -> Sense {
    let mut mistakes = Vec::new();
    let stages = stages(topology, folder, &mut mistakes);
    let mut warnings = warnings(topology);
    listener::check(&topology.ingest.listener, file, folder, &mut mistakes, &mut warnings);
    mistakes.extend(no_directory(&folder.join(&topology.data)).map(|text| Finding::of_value("/data", text)));
    mistakes.extend(lake::mistake(&topology.store, folder));
    mistakes.extend(limits(topology).iter().filter_map(|limit| limit.finding(file)));
    mistakes.extend(too_few_windows(&topology.analyze, file));
    mistakes.extend(groups::mistakes(topology));
    mistakes.extend(notify::mistakes(&topology.notify));
    warnings.extend(notify::warnings(&topology.notify, folder));
    mistakes.extend(sqs::mistakes(topology));
    warnings.extend(sqs::warnings(topology, file));
    if let Some(subscriber) = &topology.ingest.subscriber {
        mistakes.extend(subscriber.mistakes());
        warnings.extend(subscriber.warnings(folder));
    }
    Sense { mistakes, warnings, stages }
}

fn stages(topology: &Topology, folder: &Path, mistakes: &mut Vec<Finding>) -> Option<Stages> {
    let mut found = |findings: Vec<Finding>| mistakes.extend(findings);
    let topics = Topics::from_config(&topology.topics).map_err(files::of_topics).map_err(&mut found);
    let validate = files::validate(topology, folder).map_err(&mut found);
    let transform = files::transform(topology, folder).map_err(&mut found);
    let alert = Alert::new(&topology.alert).map_err(|found| mistakes.extend(found.iter().map(of_rule)));
    if let Ok(transform) = &transform {
        mistakes.extend(topology.alert.unknown_tags(transform.tags()).iter().map(of_rule));
    }
    Some(Stages {
        topics: topics.ok()?,
        validate: Arc::new(validate.ok()?),
        transform: Arc::new(transform.ok()?),
        analyze: Arc::new(Analyze::new(&topology.analyze)),
        alert: Arc::new(alert.ok()?),
    })
}

fn of_rule(mistake: &RuleMistake) -> Finding {
    Finding::of_value(&format!("/alert/rules{}", mistake.pointer()), mistake.to_string())
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

fn limits(topology: &Topology) -> Vec<Limit> {
    let Topology { ingest, queues, store, .. } = topology;
    let limit = |smaller, greater, why| Limit { smaller, greater, why };
    let frame = ("/queues/frame_bytes_max", queues.frame_bytes_max());
    let of_ingest = ("/ingest/frame_bytes_max", topology.ingest_frame_bytes_max());
    let mut limits = vec![
        limit(
            ("/ingest/listener/packet_bytes_max", ingest.listener.packet_bytes_max.into()),
            frame,
            "a message must fit into a frame",
        ),
        limit(
            of_ingest,
            ("/ingest/buffer_bytes_max", topology.buffer_bytes_max()),
            "a frame must fit into the buffer",
        ),
        limit(frame, ("/queues/queue_bytes_max", queues.queue_bytes_max), "a frame must fit into a queue"),
        limit(
            ("/store/age_secs", store.age_secs.into()),
            ("/store/age_secs_max", store.age_secs_max.into()),
            "the age grows up to that",
        ),
    ];
    if ingest.subscriber.is_some() {
        let packet = topology.subscriber_packet_bytes_max().into();
        limits.push(limit(
            ("/ingest/subscriber/packet_bytes_max", packet),
            frame,
            "a message must fit into a frame",
        ));
    }
    // Elsewhere frames are closed by what they take once they are encoded.
    if queues.engine == Engine::Sqlite {
        limits.push(limit(of_ingest, frame, "the queue would refuse the frames of ingest"));
    }
    limits
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

/// The mistake when the allowed lateness needs more open windows than there may be; about the first key that the file
/// gives.
fn too_few_windows(analyze: &AnalyzeConfig, file: &Pruned) -> Option<Finding> {
    let keys = ["/analyze/open_windows_max", "/analyze/allowed_lateness_secs", "/analyze/window_secs"];
    let AnalyzeConfig { window_secs, allowed_lateness_secs, open_windows_max, .. } = analyze;
    let needed = analyze.windows_needed();
    if needed <= u64::from(*open_windows_max) || keys.iter().any(|key| file.lost(key)) {
        return None;
    }
    let key = keys.iter().find(|key| file.gives(key)).unwrap_or(&keys[0]);
    let text = format!(
        "allowed_lateness_secs ({allowed_lateness_secs}) keeps {needed} windows of window_secs ({window_secs}) open, \
         more than open_windows_max ({open_windows_max}); raise that, make windows longer, or allow less lateness"
    );
    Some(Finding::of_value(key, text))
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
