//! Whether a topology can have its queues on SQS.

use super::super::{
    finding::Finding,
    prune::Pruned,
    topology::{Engine, SQS_FRAME_BYTES_MAX, Topology},
};
use crate::queue::{Capabilities, QueueName, paid::SQS_LEASE_SECS_MIN};

/// The longest name of a queue.
const NAME_BYTES_MAX: usize = 80;
/// What is added to a name.
const ENDINGS: &str = "-dead.fifo";

pub(super) fn mistakes(topology: &Topology) -> Vec<Finding> {
    let queues = &topology.queues;
    if queues.engine != Engine::Sqs {
        return Vec::new();
    }
    let mut mistakes = Vec::new();
    let mut mistake = |pointer: &str, text: String| mistakes.push(Finding::of_value(pointer, text));
    if !cfg!(feature = "sqs") {
        let text =
            "this millstream is built without SQS; build it with --features sqs, or set engine to sqlite";
        mistake("/queues/engine", text.to_owned());
    }
    if queues.lease_secs < SQS_LEASE_SECS_MIN {
        let text = format!("{} is too short for SQS; take {SQS_LEASE_SECS_MIN} or more", queues.lease_secs);
        mistake("/queues/lease_secs", text);
    }
    let frame_bytes_max = queues.frame_bytes_max();
    if frame_bytes_max > SQS_FRAME_BYTES_MAX {
        let text = format!(
            "{frame_bytes_max} is more than one message of SQS holds; take {SQS_FRAME_BYTES_MAX} or less, or leave it out"
        );
        mistake("/queues/frame_bytes_max", text);
    }
    if !Capabilities::sqs(queues.sqs.fifo).tells_places && !topology.groups.is_empty() {
        let text = "SQS does not tell whether the queues within a hop are dry; leave groups out";
        mistake("/groups", text.to_owned());
    }
    let prefix = &queues.sqs.prefix;
    if let Some(text) = unfit(&format!("{prefix}{}", QueueName::Validate)) {
        mistake("/queues/sqs/prefix", text);
        return mistakes;
    }
    for (at, webhook) in topology.notify.webhooks.iter().enumerate() {
        if let Some(text) = unfit(&format!("{prefix}{}-{}", QueueName::Notify, webhook.name)) {
            mistake(&format!("/notify/webhooks/{at}/name"), text);
        }
    }
    mistakes
}

/// Why SQS would not take a queue of this name.
fn unfit(name: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let most = NAME_BYTES_MAX - ENDINGS.len();
    let text = || {
        format!(
            "SQS takes no queue {name:?}: such a name has letters, digits, - and _, and up to {most} of them"
        )
    };
    (name.len() > most || !name.bytes().all(fits)).then(text)
}

/// What the topology asks for and SQS does not keep.
pub(super) fn warnings(topology: &Topology, file: &Pruned) -> Vec<Finding> {
    let queues = &topology.queues;
    if queues.engine != Engine::Sqs {
        return Vec::new();
    }
    let (mut warnings, kept) = (Vec::new(), Capabilities::sqs(queues.sqs.fifo));
    let mut warn = |pointer: &str, text: &str| warnings.push(Finding::of_value(pointer, text.to_owned()));
    if !kept.ordered {
        let text = "without FIFO queues what a device sends may overtake itself: each reading is stored once, but some come \
                    out late, in no window and no alert, and a device whose readings wait may be taken for absent; those with \
                    a sequence number and no time may be stored again when they are sent again; and all that analyze and \
                    alert send is written to the table, too; set it to true";
        warn("/queues/sqs/fifo", text);
    }
    let limits = [
        (
            "/queues/queue_bytes_max",
            "queues on SQS have no limit: nobody waits for room, and what nobody takes is gone after retention_secs",
        ),
        (
            "/notify/queue_bytes_max",
            "queues on SQS have no limit: alerts that no webhook takes wait until they are given up",
        ),
        ("/notify/dead_bytes_max", "queues on SQS have no limit: dead letters are kept for 14 days"),
    ];
    for (pointer, text) in limits {
        if !kept.has_limits && file.gives(pointer) {
            warn(pointer, text);
        }
    }
    if !kept.dedupes_all && file.gives("/queues/dedupe_window_secs") {
        warn(
            "/queues/dedupe_window_secs",
            "SQS remembers ids for 300 seconds in FIFO queues, and none in others",
        );
    }
    let (hold, lease) = (queues.sqs.tick_hold_secs, queues.lease_secs);
    if !kept.tells_ages && hold < lease {
        let text = format!(
            "{hold} is less than queues.lease_secs ({lease}): time is told before a frame comes back whose holder died, and its rows come late"
        );
        warn("/queues/sqs/tick_hold_secs", &text);
    }
    warnings
}
