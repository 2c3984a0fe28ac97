//! Making the queues of a topology.

use std::{collections::HashMap, time::Duration};

use aws_sdk_sqs::{Client, types::QueueAttributeName as Name};
use serde_json::{Value, json};

use super::{
    api::Api,
    error::SqsError,
    line::{Names, Place},
    message::MESSAGE_BYTES_MAX,
    options::SqsOptions,
};

/// As long as SQS keeps anything: dead letters wait for people.
const DEAD_RETENTION: Duration = Duration::from_secs(14 * 24 * 3600);
/// The redrive policy is for frames whose holders end each time; workers give up the others long before.
const RECEIVES_MIN: u32 = 100;
/// The most that SQS counts to.
const RECEIVES_MAX: u32 = 1000;

/// What became of one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its name.
    pub name: String,
    /// Whether it is made, or was there.
    pub outcome: Outcome,
}

/// Whether a queue was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is new.
    Made,
    /// It was there, as it would be made.
    There,
    /// It was there, and is left as it is: what differs, in words.
    Differs(Vec<String>),
}

type Wanted = HashMap<Name, String>;

/// Makes the queues that are not there, those of dead letters first; others are looked at and left as they are.
///
/// # Errors
/// What kept SQS from it; queues that were made by then stay.
pub async fn create(client: Client, options: &SqsOptions) -> Result<Vec<Created>, SqsError> {
    let api = Api::new(client);
    let mut created = Vec::new();
    for names in options.names() {
        let (place, dead) = make(&api, &names.dead, kept_for(&names, DEAD_RETENTION)).await?;
        created.push(dead);
        let arn =
            api.attributes(&place, &[Name::QueueArn]).await?.remove(&Name::QueueArn).unwrap_or_default();
        let mut wanted = kept_for(&names, options.retention);
        wanted.insert(Name::RedrivePolicy, redrive(&arn, receives(&names, options)).to_string());
        created.push(make(&api, &names.name, wanted).await?.1);
    }
    Ok(created)
}

async fn make(api: &Api, name: &str, wanted: Wanted) -> Result<(Place, Created), SqsError> {
    let created = |outcome| Created { name: name.to_owned(), outcome };
    if let Some(place) = api.find(name).await? {
        let found = api.attributes(&place, &[Name::All]).await?;
        let mut differences: Vec<String> =
            wanted.iter().filter_map(|(key, value)| difference(key, value, &found)).collect();
        differences.sort();
        let outcome = if differences.is_empty() { Outcome::There } else { Outcome::Differs(differences) };
        return Ok((place, created(outcome)));
    }
    let tags = HashMap::from([("application".to_owned(), "millstream".to_owned())]);
    Ok((api.create(name, wanted, tags).await?, created(Outcome::Made)))
}

/// What each queue is made with.
fn kept_for(names: &Names, retention: Duration) -> Wanted {
    let mut wanted = Wanted::from([
        (Name::MessageRetentionPeriod, retention.as_secs().to_string()),
        (Name::MaximumMessageSize, MESSAGE_BYTES_MAX.to_string()),
        (Name::SqsManagedSseEnabled, "true".to_owned()),
    ]);
    if names.fifo {
        wanted.insert(Name::FifoQueue, "true".to_owned());
        // Lanes neither share what SQS does in a second, nor ids.
        wanted.insert(Name::DeduplicationScope, "messageGroup".to_owned());
        wanted.insert(Name::FifoThroughputLimit, "perMessageGroupId".to_owned());
    }
    wanted
}

/// How often a message may be handed out. An alert is, for as long as its webhook is away.
fn receives(names: &Names, options: &SqsOptions) -> u32 {
    let wanted = options.max_attempts.saturating_mul(10).clamp(RECEIVES_MIN, RECEIVES_MAX);
    if names.queue.is_by_lane() { RECEIVES_MAX } else { wanted }
}

fn redrive(arn: &str, receives: u32) -> Value {
    json!({ "deadLetterTargetArn": arn, "maxReceiveCount": receives.to_string() })
}

/// How an attribute of a queue that is there is not what is wanted.
fn difference(key: &Name, wanted: &str, found: &Wanted) -> Option<String> {
    let there = found.get(key).map_or("", String::as_str);
    // A key of the user's own encrypts, too.
    let encrypted = *key == Name::SqsManagedSseEnabled && found.contains_key(&Name::KmsMasterKeyId);
    let same = there == wanted || (*key == Name::RedrivePolicy && policy(there) == policy(wanted));
    let there = if there.is_empty() { "not set" } else { there };
    (!same && !encrypted).then(|| format!("{} is {there}, it would be {wanted}", key.as_str()))
}

/// Where a redrive policy leads to, and when; SQS writes numbers as it likes.
fn policy(text: &str) -> Option<(String, String)> {
    let policy: Value = serde_json::from_str(text).ok()?;
    let text = |key: &str| Some(policy.get(key)?.to_string().trim_matches('"').to_owned());
    Some((text("deadLetterTargetArn")?, text("maxReceiveCount")?))
}
