//! Compaction by itself, beside a store worker.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use stages::store::Dataset;
use tokio::{
    runtime::Handle,
    sync::watch,
    task::{JoinError, spawn_blocking},
    time::timeout,
};
use tracing::{debug, info, warn};

use super::{GRACE, Named, Pass, Surroundings};
use crate::{
    database::Database,
    lake::{Compactor, Intents, LakeError, intents},
    queue::QueueError,
};

/// So many troubles are remembered, to be told of once.
const TOLD_MAX: usize = 1000;

/// Looks through a lake again and again.
pub struct CompactTask {
    compactor: Arc<Mutex<Compactor>>,
    intents: Intents,
    every: Option<Duration>,
    stop: watch::Receiver<bool>,
    /// What was told of already.
    told: HashSet<String>,
}

impl CompactTask {
    /// Looks `every` so often, if at all, and ends when `stop` becomes true, or nobody can say so any more.
    pub fn new(
        compactor: Compactor,
        intents: Intents,
        every: Option<Duration>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let compactor = Arc::new(Mutex::new(compactor));
        Self { compactor, intents, every, stop, told: HashSet::new() }
    }

    /// Removes what earlier processes left. Then works until it is stopped, or the lake turns out to be none that can be
    /// compacted.
    ///
    /// # Errors
    /// By a bug.
    pub async fn run(mut self) -> Result<(), JoinError> {
        self.sweep().await?;
        let Some(every) = self.every else { return Ok(()) };
        let mut pause = every;
        while self.waits(pause).await {
            pause = every;
            let (pass, ended) =
                self.in_thread(|compactor, world| compactor.pass(&Dataset::ALL, world)).await?;
            let left_old = !pass.partitions.is_empty();
            self.tell(pass);
            match ended {
                Ok(()) => {}
                Err(error @ LakeError::Exchange { .. }) => {
                    warn!(%error, "files are not merged by themselves");
                    break;
                }
                Err(error @ LakeError::Busy { .. }) => debug!(%error, "looked at by somebody else"),
                Err(error) => self.warn(format!("small files stay for now: {error}")),
            }
            if left_old && every > GRACE {
                if !self.waits(GRACE).await {
                    break;
                }
                pause -= GRACE;
                self.sweep().await?;
            }
        }
        Ok(())
    }

    async fn sweep(&mut self) -> Result<(), JoinError> {
        match self.in_thread(|compactor, world| compactor.sweep(world)).await? {
            // Then whoever that is removes it.
            Ok(()) | Err(LakeError::Busy { .. }) => {}
            Err(error) => self.warn(error.to_string()),
        }
        Ok(())
    }

    /// Pauses. False if it is time to end.
    async fn waits(&mut self, pause: Duration) -> bool {
        timeout(pause, self.stop.wait_for(|stop| *stop)).await.is_err()
    }

    /// Has `work` done by the compactor where it may block.
    async fn in_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Compactor, &Surroundings<'_>) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let (compactor, intents, stop) =
            (Arc::clone(&self.compactor), self.intents.clone(), self.stop.clone());
        let runtime = Handle::current();
        spawn_blocking(move || {
            let mut compactor = compactor.lock().unwrap_or_else(PoisonError::into_inner);
            // Who is gone does not want it any more either.
            let is_stopping = || *stop.borrow() || stop.has_changed().is_err();
            let intents = || runtime.block_on(intents.all());
            work(&mut compactor, &Surroundings { intents: &intents, is_stopping: &is_stopping })
        })
        .await
    }

    fn tell(&mut self, pass: Pass) {
        for done in &pass.partitions {
            info!(
                partition = done.partition,
                files = done.merged,
                rows = done.rows,
                "small files were merged"
            );
        }
        pass.troubles.into_iter().for_each(|trouble| self.warn(trouble));
    }

    /// Tells what goes wrong, once.
    fn warn(&mut self, trouble: String) {
        if self.told.len() >= TOLD_MAX {
            self.told.clear();
        }
        if self.told.insert(trouble.clone()) {
            warn!("{trouble}");
        }
    }
}

/// What the data file says of the lake's files now.
///
/// # Errors
/// When it cannot be read.
pub async fn read_intents(database: &Database) -> Result<Named, LakeError> {
    let read = |database: &rusqlite::Connection| Ok::<_, QueueError>(intents::all(database)?);
    Ok(database.read(read).await?)
}
