//! Which sessions connections of this process have, and whether another process has one by now.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// The sessions that connections of this process have, by number.
#[derive(Debug, Default)]
pub(in crate::ingest) struct Held {
    sessions: Mutex<HashMap<i64, Arc<AtomicBool>>>,
}

impl Held {
    /// A connection has this session; what is answered becomes true when another process has it.
    pub(super) fn hold(&self, session: i64) -> Arc<AtomicBool> {
        let lost = Arc::default();
        self.lock().insert(session, Arc::clone(&lost));
        lost
    }

    /// Its connection is over.
    pub(super) fn let_go(&self, session: i64) {
        self.lock().remove(&session);
    }

    /// These are not ours any more: their connections have nothing more to answer.
    pub(in crate::ingest) fn lose(&self, sessions: &[i64]) {
        let held = self.lock();
        for lost in sessions.iter().filter_map(|session| held.get(session)) {
            lost.store(true, Ordering::Release);
        }
    }

    /// A panic leaves the map whole: it is changed by single calls.
    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Arc<AtomicBool>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
