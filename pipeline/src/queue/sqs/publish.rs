//! Sending frames, in batches that SQS takes.

use std::{collections::HashMap, sync::Arc};

use tokio::task::JoinSet;

use super::{
    SqsQueues,
    api::{Api, BATCH, SEND},
    error::SqsError,
    joined,
    line::{Line, Place},
    message::{MESSAGE_BYTES_MAX, Outgoing},
};
use crate::{
    clock::now,
    queue::{Publish, QueueError},
};

/// Messages for one queue of SQS, each with its place among the entries.
type Load = (Arc<Line>, Vec<(usize, Outgoing)>);

impl SqsQueues {
    /// See [`Queues::publish`](crate::queue::Queues::publish). No queue of SQS is ever full.
    ///
    /// # Errors
    /// Those given there, per frame. In an ordered lane nothing is sent behind what failed, but within a request of ten SQS may
    /// have taken what stands behind it.
    pub async fn publish(&self, entries: Vec<Publish>) -> Vec<Result<(), QueueError>> {
        let mut answers: Vec<Result<(), QueueError>> = Vec::with_capacity(entries.len());
        let (mut loads, now): (Vec<Load>, _) = (Vec::new(), now());
        for (at, entry) in entries.iter().enumerate() {
            let line = self.check(entry).and_then(|()| self.line(entry.queue, entry.frame.lane));
            answers.push(line.map(|line| {
                let message = (at, Outgoing::of(&entry.frame, now, line.fifo));
                match loads.iter_mut().find(|(other, _)| Arc::ptr_eq(other, line)) {
                    Some((_, messages)) => messages.push(message),
                    None => loads.push((Arc::clone(line), vec![message])),
                }
            }));
        }
        let mut sent = JoinSet::new();
        for (line, messages) in loads {
            let api = self.inner.api.clone();
            sent.spawn(async move { send_gathered(api, line, messages).await });
        }
        for (at, answer) in joined(sent).await.into_iter().flatten() {
            answers[at] = answer.map_err(QueueError::from);
        }
        answers
    }
}

/// Sends messages together with what else is sent now; answers for each.
async fn send_gathered(
    api: Api,
    line: Arc<Line>,
    messages: Vec<(usize, Outgoing)>,
) -> Vec<(usize, Result<(), SqsError>)> {
    let (places, messages): (Vec<_>, Vec<_>) = messages.into_iter().unzip();
    let bytes: usize = messages.iter().map(Outgoing::bytes).sum();
    let share = (bytes as f64 / MESSAGE_BYTES_MAX as f64).max(messages.len() as f64 / BATCH as f64);
    let place = line.main.clone();
    let act = async move |messages: Vec<Outgoing>| {
        let mut answers = send(&api, &place, messages.into_iter().enumerate().collect()).await;
        answers.sort_by_key(|(at, _)| *at);
        answers.into_iter().map(|(_, answer)| answer).collect()
    };
    let answers = line.shared.sends.add(messages, share, act).await;
    let answers =
        answers.unwrap_or_else(|| vec![Err(SqsError::unanswered(SEND, &line.main.name)); places.len()]);
    places.into_iter().zip(answers).collect()
}

/// Sends messages one request after the other, so that they keep their order; answers for each.
pub(super) async fn send(
    api: &Api,
    place: &Place,
    messages: Vec<(usize, Outgoing)>,
) -> Vec<(usize, Result<(), SqsError>)> {
    let mut answers = Vec::with_capacity(messages.len());
    // What failed last in each group.
    let mut failed: HashMap<String, SqsError> = HashMap::new();
    let mut rest = messages.into_iter().peekable();
    while rest.peek().is_some() {
        let (mut batch, mut places, mut bytes) = (Vec::new(), Vec::new(), 0);
        while batch.len() < BATCH
            && let Some((at, message)) =
                rest.next_if(|(_, next)| batch.is_empty() || bytes + next.bytes() <= MESSAGE_BYTES_MAX)
        {
            match message.place.as_ref().and_then(|(group, _)| failed.get(group)) {
                Some(error) => answers.push((at, Err(error.clone()))),
                None => {
                    bytes += message.bytes();
                    places.push(at);
                    batch.push(message);
                }
            }
        }
        if batch.is_empty() {
            continue;
        }
        for ((at, message), answer) in places.into_iter().zip(&batch).zip(api.send(place, &batch).await) {
            if let (Err(error), Some((group, _))) = (&answer, &message.place) {
                failed.entry(group.clone()).or_insert_with(|| error.clone());
            }
            answers.push((at, answer));
        }
    }
    answers
}
