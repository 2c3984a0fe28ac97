//! The requests to SQS: counted, in batches, with an answer for each entry.

use std::{collections::HashMap, error::Error, slice, sync::Arc};

use aws_sdk_sqs::{
    Client,
    error::{BuildError, ProvideErrorMetadata, SdkError},
    types::{
        BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
        Message, MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
        SendMessageBatchResultEntry,
    },
};

use super::{
    digest,
    error::{Said, SqsError, said},
    line::Place,
    message::{Incoming, MESSAGE_BYTES_MAX, Outgoing},
    requests::Counters,
};

/// Entries of one request.
pub(super) const BATCH: usize = 10;

pub(super) const SEND: &str = "SendMessageBatch";
const RECEIVE: &str = "ReceiveMessage";
pub(super) const DELETE: &str = "DeleteMessageBatch";
const CHANGE: &str = "ChangeMessageVisibilityBatch";
const FIND: &str = "GetQueueUrl";
const LOOK: &str = "GetQueueAttributes";
const MAKE: &str = "CreateQueue";

/// A client that counts, by the queue; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Api {
    client: Client,
}

/// Why an entry of a batch was not dealt with.
#[derive(Debug, Clone)]
pub(super) enum Refusal {
    /// Its lease is over.
    Lost,
    /// Anything else.
    Other(SqsError),
}

impl From<SqsError> for Refusal {
    fn from(error: SqsError) -> Self {
        Self::Other(error)
    }
}

impl Api {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Sends messages, which are no more and no larger than one request may carry.
    pub(super) async fn send(&self, place: &Place, messages: &[Outgoing]) -> Vec<Result<(), SqsError>> {
        let entry = |(at, message): (usize, &Outgoing)| {
            let (group, once) = message.place.clone().unzip();
            SendMessageBatchRequestEntry::builder()
                .id(at.to_string())
                .message_body(&message.body)
                .set_message_attributes(message.values()?)
                .set_message_group_id(group)
                .set_message_deduplication_id(once)
                .build()
        };
        let entries = match entries(messages, entry, SEND, place) {
            Ok(entries) => entries,
            Err(error) => return vec![Err(error); messages.len()],
        };
        place.counters.send.add(messages.iter().map(Outgoing::bytes).sum());
        let answer = self.client.send_message_batch().queue_url(&place.url).set_entries(Some(entries));
        let answer = match answer.send().await {
            Ok(answer) => answer,
            Err(error) => return vec![Err(SqsError::of(&error, SEND, &place.name)); messages.len()],
        };
        let mut refused = Failures::of(&answer.failed, SEND, place);
        let sent: HashMap<&str, _> = answer.successful.iter().map(|entry| (entry.id(), entry)).collect();
        let told = |(at, message): (usize, &Outgoing)| match sent.get(at.to_string().as_str()) {
            Some(entry) => unaltered(message, entry, place),
            None => Err(refused.why(at, SEND, place)),
        };
        messages.iter().enumerate().map(told).collect()
    }

    /// Receives messages, each leased for so many seconds; waits for a first one for `wait` seconds.
    pub(super) async fn receive(
        &self,
        place: &Place,
        messages: usize,
        lease: i32,
        wait: i32,
    ) -> Result<Vec<Message>, SqsError> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&place.url)
            .max_number_of_messages(i32::try_from(messages.clamp(1, BATCH)).unwrap_or(1))
            .visibility_timeout(lease)
            .wait_time_seconds(wait)
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .send()
            .await
            .map_err(|error| SqsError::of(&error, RECEIVE, &place.name))?;
        let messages = answer.messages.unwrap_or_default();
        let bytes = messages.iter().map(|message| Incoming(message).bytes()).sum();
        let counters = &place.counters;
        let counter = if messages.is_empty() { &counters.empty_receive } else { &counters.receive };
        counter.add(bytes);
        Ok(messages)
    }

    /// Deletes what was received.
    pub(super) async fn delete(&self, place: &Place, handles: &[String]) -> Vec<Result<(), Refusal>> {
        let mut answers = Vec::with_capacity(handles.len());
        for handles in handles.chunks(BATCH) {
            place.counters.delete.add(0);
            let entry = |(at, handle): (usize, &String)| {
                DeleteMessageBatchRequestEntry::builder().id(at.to_string()).receipt_handle(handle).build()
            };
            let entries = match entries(handles, entry, DELETE, place) {
                Ok(entries) => entries,
                Err(error) => {
                    answers.extend(vec![Err(error.into()); handles.len()]);
                    continue;
                }
            };
            let answer = self.client.delete_message_batch().queue_url(&place.url).set_entries(Some(entries));
            let answer = answer.send().await.map(|answer| answer.failed);
            answers.extend(each(answer, handles.len(), DELETE, place));
        }
        answers
    }

    /// Lets leases end so many seconds from now.
    pub(super) async fn change(&self, place: &Place, leases: &[(String, i32)]) -> Vec<Result<(), Refusal>> {
        let mut answers = Vec::with_capacity(leases.len());
        for leases in leases.chunks(BATCH) {
            place.counters.change_visibility.add(0);
            let entry = |(at, (handle, secs)): (usize, &(String, i32))| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(at.to_string())
                    .receipt_handle(handle)
                    .visibility_timeout(*secs)
                    .build()
            };
            let entries = match entries(leases, entry, CHANGE, place) {
                Ok(entries) => entries,
                Err(error) => {
                    answers.extend(vec![Err(error.into()); leases.len()]);
                    continue;
                }
            };
            let answer = self
                .client
                .change_message_visibility_batch()
                .queue_url(&place.url)
                .set_entries(Some(entries));
            let answer = answer.send().await.map(|answer| answer.failed);
            answers.extend(each(answer, leases.len(), CHANGE, place));
        }
        answers
    }

    /// The queue of this name, if there is one.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Place>, SqsError> {
        let counters = Arc::<Counters>::default();
        counters.manage.add(0);
        match self.client.get_queue_url().queue_name(name).send().await {
            Ok(answer) => {
                let url = answer.queue_url().unwrap_or_default().to_owned();
                Ok(Some(Place { name: name.to_owned(), url, counters }))
            }
            Err(error) => match SqsError::of(&error, FIND, name) {
                SqsError::Missing { .. } => Ok(None),
                error => Err(error),
            },
        }
    }

    /// What a queue is like.
    pub(super) async fn attributes(
        &self,
        place: &Place,
        names: &[QueueAttributeName],
    ) -> Result<HashMap<QueueAttributeName, String>, SqsError> {
        place.counters.get_attributes.add(0);
        let names = Some(names.to_vec());
        let answer = self.client.get_queue_attributes().queue_url(&place.url).set_attribute_names(names);
        let answer = answer.send().await.map_err(|error| SqsError::of(&error, LOOK, &place.name))?;
        Ok(answer.attributes.unwrap_or_default())
    }

    /// The largest message that a queue takes, with its attributes, and all of a request.
    pub(super) async fn message_bytes_max(&self, place: &Place) -> Result<usize, SqsError> {
        let name = QueueAttributeName::MaximumMessageSize;
        let told = self.attributes(place, slice::from_ref(&name)).await?;
        // Where nothing is told, what is too large will be refused.
        Ok(told.get(&name).and_then(|bytes| bytes.parse().ok()).unwrap_or(MESSAGE_BYTES_MAX))
    }

    /// Makes a queue.
    pub(super) async fn create(
        &self,
        name: &str,
        attributes: HashMap<QueueAttributeName, String>,
        tags: HashMap<String, String>,
    ) -> Result<Place, SqsError> {
        let counters = Arc::<Counters>::default();
        counters.manage.add(0);
        let answer = self.client.create_queue().queue_name(name).set_attributes(Some(attributes));
        let answer = answer.set_tags(Some(tags)).send().await;
        let answer = answer.map_err(|error| SqsError::of(&error, MAKE, name))?;
        let url = answer.queue_url().unwrap_or_default().to_owned();
        Ok(Place { name: name.to_owned(), url, counters })
    }
}

/// The entries of a request.
fn entries<'a, T: 'a, E>(
    of: &'a [T],
    entry: impl FnMut((usize, &'a T)) -> Result<E, BuildError>,
    action: &'static str,
    place: &Place,
) -> Result<Vec<E>, SqsError> {
    let entries: Result<Vec<E>, BuildError> = of.iter().enumerate().map(entry).collect();
    entries.map_err(|error| SqsError::Invalid {
        action,
        queue: place.name.clone(),
        reason: error.to_string(),
    })
}

/// Whether SQS has what was sent.
fn unaltered(message: &Outgoing, entry: &SendMessageBatchResultEntry, place: &Place) -> Result<(), SqsError> {
    let altered = |what| Err(SqsError::Altered { frame: message.frame, queue: place.name.clone(), what });
    if entry.md5_of_message_body() != digest::of_body(&message.body) {
        return altered("body");
    }
    let attributes = entry.md5_of_message_attributes();
    let expected = (!message.attributes.is_empty()).then(|| digest::of_attributes(&message.attributes));
    if attributes != expected.as_deref() { altered("attributes") } else { Ok(()) }
}

/// The answer of a batch to each of its entries, of which only those that failed are named here.
fn each<E: ProvideErrorMetadata + Error + 'static>(
    answer: Result<Vec<BatchResultErrorEntry>, SdkError<E>>,
    entries: usize,
    action: &'static str,
    place: &Place,
) -> Vec<Result<(), Refusal>> {
    match answer {
        Ok(failed) => {
            let mut failures = Failures::of(&failed, action, place);
            (0..entries).map(|at| failures.entry(at).map_or(Ok(()), Err)).collect()
        }
        Err(error) => vec![Err(SqsError::of(&error, action, &place.name).into()); entries],
    }
}

/// The entries of a batch that failed, by their ids.
struct Failures(HashMap<String, Refusal>);

impl Failures {
    fn of(failed: &[BatchResultErrorEntry], action: &'static str, place: &Place) -> Self {
        let refusal = |entry: &BatchResultErrorEntry| {
            let text = entry.message().unwrap_or_default();
            let refusal = match said(entry.code(), text, action, &place.name) {
                Said::Lost => Refusal::Lost,
                Said::Missing => SqsError::Missing { queues: vec![place.name.clone()] }.into(),
                Said::Other(error) => error.into(),
            };
            (entry.id().to_owned(), refusal)
        };
        Self(failed.iter().map(refusal).collect())
    }

    fn entry(&mut self, at: usize) -> Option<Refusal> {
        self.0.remove(&at.to_string())
    }

    /// Why an entry is not among those that succeeded.
    fn why(&mut self, at: usize, action: &'static str, place: &Place) -> SqsError {
        let reason = match self.entry(at) {
            Some(Refusal::Other(error)) => return error,
            Some(Refusal::Lost) => "a receipt is refused where none was given",
            None => "the answer leaves an entry out",
        };
        SqsError::Unavailable { action, queue: place.name.clone(), reason: reason.to_owned() }
    }
}
