//! A queue of SQS, and the one with its dead letters.

use std::{sync::Arc, time::Duration};

use stages::frame::Lane;

use super::{
    api::{Api, Refusal},
    error::SqsError,
    gather::Gather,
    message::{MESSAGE_BYTES_MAX, Outgoing},
    requests::Counters,
};
use crate::queue::QueueName;

/// For how long what is to be sent waits for others: they are about as far.
const SEND_GATHERS: Duration = Duration::from_millis(25);
/// For how long what is to be deleted does: nobody waits for it but its lane.
const DELETE_GATHERS: Duration = Duration::from_millis(100);

/// What a queue of SQS is called, and what it is for.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) queue: QueueName,
    /// The only lane whose frames are in it, where it is not for all.
    pub(super) lane: Option<Lane>,
    pub(super) name: String,
    /// The queue of its dead letters.
    pub(super) dead: String,
    pub(super) fifo: bool,
}

/// A queue of SQS that is there.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) queue: QueueName,
    pub(super) lane: Option<Lane>,
    pub(super) fifo: bool,
    pub(super) main: Place,
    pub(super) dead: Place,
    pub(super) shared: Shared,
}

/// Requests that tasks make together.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) sends: Arc<Gather<Outgoing, Result<(), SqsError>>>,
    pub(super) deletes: Arc<Gather<String, Result<(), Refusal>>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { sends: Gather::new(SEND_GATHERS), deletes: Gather::new(DELETE_GATHERS) }
    }
}

/// Where requests about one queue of SQS go.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// For people.
    pub(super) name: String,
    /// For SQS.
    pub(super) url: String,
    /// Those that were made.
    pub(super) counters: Arc<Counters>,
}

impl Names {
    pub(super) fn new(queue: QueueName, lane: Option<Lane>, stem: &str, fifo: bool) -> Self {
        let ending = if fifo { ".fifo" } else { "" };
        Self { queue, lane, name: format!("{stem}{ending}"), dead: format!("{stem}-dead{ending}"), fifo }
    }
}

impl Line {
    /// Looks up both queues.
    ///
    /// # Errors
    /// [`SqsError::Missing`] with those that are not there; [`SqsError::Small`] when one does not take frames.
    pub(super) async fn open(api: &Api, names: Names) -> Result<Self, SqsError> {
        let Names { queue, lane, name, dead, fifo } = names;
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for name in [name, dead] {
            match api.find(&name).await? {
                Some(place) => found.push(place),
                None => missing.push(name),
            }
        }
        for place in &found {
            let bytes = api.message_bytes_max(place).await?;
            if bytes < MESSAGE_BYTES_MAX {
                return Err(SqsError::Small { queue: place.name.clone(), bytes });
            }
        }
        match <[Place; 2]>::try_from(found) {
            Ok([main, dead]) => {
                let shared = Shared::default();
                Ok(Self { queue, lane, fifo, main, dead, shared })
            }
            Err(_) => Err(SqsError::Missing { queues: missing }),
        }
    }
}
