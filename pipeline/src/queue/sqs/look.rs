//! Looking at the queues of a topology, each once, and changing nothing.

use aws_sdk_sqs::{Client, types::QueueAttributeName};
use tokio::task::JoinSet;

use super::{api::Api, error::SqsError, joined, message::MESSAGE_BYTES_MAX, options::SqsOptions};

/// A queue of SQS that a topology needs, and what there is of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// Its name.
    pub name: String,
    /// What was found.
    pub seen: Seen,
}

/// What there is of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It is there.
    Well,
    /// It is not there.
    Missing,
    /// One of the other kind is there in its place, under this name.
    OtherKind(String),
    /// It is there, and nothing moves what is handed out again and again to the dead letters.
    NoRedrive,
    /// It is there, and takes no messages of more than so many bytes.
    Small(usize),
    /// SQS did not tell.
    Unknown(SqsError),
}

/// A queue to look at.
struct Wanted {
    name: String,
    fifo: bool,
    /// Whether it is one of dead letters.
    dead: bool,
}

/// Looks at all queues at once.
pub async fn look(client: Client, options: &SqsOptions) -> Vec<Looked> {
    let (api, mut looks) = (Api::new(client), JoinSet::new());
    for names in options.names() {
        let (main, dead, fifo) = (names.name, names.dead, names.fifo);
        for wanted in [Wanted { name: main, fifo, dead: false }, Wanted { name: dead, fifo, dead: true }] {
            let api = api.clone();
            looks.spawn(async move {
                let seen = see(&api, &wanted).await.unwrap_or_else(Seen::Unknown);
                Looked { name: wanted.name, seen }
            });
        }
    }
    let mut looked = joined(looks).await;
    looked.sort_by(|one, other| one.name.cmp(&other.name));
    looked
}

async fn see(api: &Api, wanted: &Wanted) -> Result<Seen, SqsError> {
    let Some(place) = api.find(&wanted.name).await? else {
        let other = other_kind(&wanted.name);
        return Ok(match api.find(&other).await? {
            Some(_) => Seen::OtherKind(other),
            None => Seen::Missing,
        });
    };
    let found = api.attributes(&place, &[QueueAttributeName::All]).await?;
    let is_fifo = found.get(&QueueAttributeName::FifoQueue).is_some_and(|value| value == "true");
    let bytes = found.get(&QueueAttributeName::MaximumMessageSize).and_then(|bytes| bytes.parse().ok());
    Ok(if is_fifo != wanted.fifo {
        Seen::OtherKind(place.name)
    } else if let Some(bytes) = bytes.filter(|bytes| *bytes < MESSAGE_BYTES_MAX) {
        Seen::Small(bytes)
    } else if !wanted.dead && !found.contains_key(&QueueAttributeName::RedrivePolicy) {
        Seen::NoRedrive
    } else {
        Seen::Well
    })
}

/// What a queue would be called if it were of the other kind.
fn other_kind(name: &str) -> String {
    name.strip_suffix(".fifo").map_or_else(|| format!("{name}.fifo"), str::to_owned)
}
