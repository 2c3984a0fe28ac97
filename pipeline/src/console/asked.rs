//! What the metrics tell of the queues, asked for now or a moment ago.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use stages::plan::Counts;
use tokio::sync::Mutex;

use crate::queue::{Balance, Capabilities, Depth, QueueError, QueueName, Queues};

/// For how long an answer does where each request is paid for: counts may be older there anyway.
const GOOD_FOR: Duration = Duration::from_secs(30);

/// What queues answered.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) kept: Capabilities,
    pub(super) queues: Vec<(QueueName, Depth)>,
    pub(super) books: BTreeMap<String, Counts>,
    /// Nothing where the engine keeps no account of rows.
    pub(super) balances: Vec<Balance>,
}

/// The last answer, where one does for a while.
#[derive(Default)]
pub(super) struct Last(Mutex<Option<(Instant, Arc<Asked>)>>);

impl Last {
    /// What the queues hold now; or did of late, where each request is paid for.
    ///
    /// # Errors
    /// When the queues cannot be asked.
    pub(super) async fn asked(&self, queues: &Queues) -> Result<Arc<Asked>, QueueError> {
        let kept = queues.capabilities();
        if !kept.is_paid {
            return Ok(Arc::new(ask(queues, kept).await?));
        }
        // Whoever comes while another asks waits for the same answer.
        let mut last = self.0.lock().await;
        if let Some((at, asked)) = &*last
            && at.elapsed() < GOOD_FOR
        {
            return Ok(Arc::clone(asked));
        }
        let asked = Arc::new(ask(queues, kept).await?);
        *last = Some((Instant::now(), Arc::clone(&asked)));
        Ok(asked)
    }
}

async fn ask(of: &Queues, kept: Capabilities) -> Result<Asked, QueueError> {
    let mut queues = Vec::with_capacity(QueueName::ALL.len());
    for queue in QueueName::ALL {
        queues.push((queue, of.depth(queue).await?));
    }
    let books = of.books().await?;
    let balances = if kept.keeps_books { of.audit(false).await?.balances } else { Vec::new() };
    Ok(Asked { kept, queues, books, balances })
}
