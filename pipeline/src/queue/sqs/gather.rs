//! Entries of several callers that share requests, since each request is paid for.
//!
//! The lanes of one receive are worked at by tasks of their own, which come to their ends one soon after the other.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::sleep,
};

/// Gathers entries for one action on one queue.
#[derive(Debug)]
pub(super) struct Gather<T, A> {
    waiting: Mutex<Waiting<T, A>>,
    /// Tells that a request is full.
    full: Notify,
    /// For how long the first caller waits for others.
    window: Duration,
}

#[derive(Debug)]
struct Waiting<T, A> {
    parts: Vec<Part<T, A>>,
    /// How much of a request they fill: 1 is a whole one.
    share: f64,
}

/// What one caller wants.
#[derive(Debug)]
struct Part<T, A> {
    entries: Vec<T>,
    answers: oneshot::Sender<Vec<A>>,
}

impl<T, A> Waiting<T, A> {
    const NOTHING: Self = Self { parts: Vec::new(), share: 0.0 };
}

impl<T: Send + 'static, A: Send + 'static> Gather<T, A> {
    pub(super) fn new(window: Duration) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::new(Waiting::NOTHING), full: Notify::new(), window })
    }

    /// Has `act` done for these entries, which fill this share of a request, together with those of others; by the first
    /// caller's `act`. Answers for each in their order, or none when that panics.
    pub(super) async fn add<F: Future<Output = Vec<A>> + Send + 'static>(
        self: &Arc<Self>,
        entries: Vec<T>,
        share: f64,
        act: impl FnOnce(Vec<T>) -> F + Send + 'static,
    ) -> Option<Vec<A>> {
        let (answers, answered) = oneshot::channel();
        let leads = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.parts.push(Part { entries, answers });
            waiting.share += share;
            if waiting.share >= 1.0 {
                self.full.notify_one();
            }
            waiting.parts.len() == 1
        };
        if leads {
            // By a task, so that others have their answers also when this caller is dropped. All of them wait for it.
            tokio::spawn(Arc::clone(self).lead(act));
        }
        answered.await.ok()
    }

    async fn lead<F: Future<Output = Vec<A>> + Send>(self: Arc<Self>, act: impl FnOnce(Vec<T>) -> F) {
        tokio::select! {
            () = sleep(self.window) => {}
            () = self.full.notified() => {}
        }
        let waiting =
            mem::replace(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner), Waiting::NOTHING);
        let (mut entries, mut callers) = (Vec::new(), Vec::new());
        for mut part in waiting.parts {
            callers.push((part.entries.len(), part.answers));
            entries.append(&mut part.entries);
        }
        let mut all = act(entries).await.into_iter();
        for (count, answers) in callers {
            // Who is gone needs no answer.
            let _gone = answers.send(all.by_ref().take(count).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{task::JoinSet, time::timeout};

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    /// Answers with each entry and how many there were in all.
    async fn counted(entries: Vec<u32>) -> Vec<(u32, usize)> {
        let all = entries.len();
        entries.into_iter().map(|entry| (entry, all)).collect()
    }

    #[tokio::test]
    async fn callers_share_a_request_and_each_has_its_own_answers() {
        let gather = Gather::new(LONG);
        let mut callers = JoinSet::new();
        for caller in 0..4 {
            let gather = Arc::clone(&gather);
            callers
                .spawn(async move { (caller, gather.add(vec![caller, caller + 10], 0.25, counted).await) });
        }
        for (caller, answers) in callers.join_all().await {
            assert_eq!(answers, Some(vec![(caller, 8), (caller + 10, 8)]));
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_longer_than_the_window_nor_with_a_full_request() {
        let soon = Gather::new(Duration::from_millis(1));
        assert_eq!(soon.add(vec![7], 0.1, counted).await, Some(vec![(7, 1)]));
        let full = Gather::new(LONG);
        assert_eq!(full.add(vec![7], 1.0, counted).await, Some(vec![(7, 1)]));
    }

    #[tokio::test]
    async fn a_caller_that_is_dropped_takes_nobody_along() {
        let gather = Gather::new(LONG);
        let dropped = timeout(Duration::from_millis(1), gather.add(vec![1], 0.5, counted)).await;
        assert!(dropped.is_err());
        assert_eq!(gather.add(vec![2], 0.5, counted).await, Some(vec![(2, 2)]));
    }

    #[tokio::test]
    async fn a_panic_is_no_answer() {
        let gather = Gather::<u32, u32>::new(LONG);
        let panics = async |_| panic!("a bug");
        assert_eq!(gather.add(vec![1], 1.0, panics).await, None);
    }
}
