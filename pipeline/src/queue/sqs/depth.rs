//! What queues hold, as far as SQS tells.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_sqs::types::QueueAttributeName;
use stages::plan::Counts;
use tokio::task::JoinSet;

use super::{SqsQueues, error::SqsError, joined};
use crate::queue::{Depth, Overview, QueueError, QueueName};

const WAITING: QueueAttributeName = QueueAttributeName::ApproximateNumberOfMessages;
const HELD: QueueAttributeName = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
const DELAYED: QueueAttributeName = QueueAttributeName::ApproximateNumberOfMessagesDelayed;

impl SqsQueues {
    /// See [`Queues::depth`](crate::queue::Queues::depth). SQS counts messages alone, and those about: rows, bytes and ages are
    /// not told.
    ///
    /// # Errors
    /// When SQS cannot be asked.
    pub async fn depth(&self, queue: QueueName) -> Result<Depth, QueueError> {
        let mut counted = JoinSet::new();
        for line in self.lines(queue) {
            for (place, dead) in [(line.main.clone(), false), (line.dead.clone(), true)] {
                let api = self.inner.api.clone();
                counted.spawn(async move {
                    let counts = api.attributes(&place, &[WAITING, HELD, DELAYED]).await?;
                    Ok((dead, counts))
                });
            }
        }
        let mut depth = Depth::default();
        for counts in joined(counted).await {
            let (dead, counts): (bool, HashMap<_, _>) = counts.map_err(|error: SqsError| error)?;
            let count = |name| counts.get(&name).and_then(|text: &String| text.parse().ok()).unwrap_or(0_u64);
            let all = count(WAITING) + count(HELD) + count(DELAYED);
            if dead {
                depth.dead += all;
            } else {
                depth.frames += all;
                depth.in_flight += count(HELD);
            }
        }
        Ok(depth)
    }

    /// Whether SQS and the table answer: one of the queues is looked at, and one item is read.
    ///
    /// # Errors
    /// When one of them does not.
    pub async fn probe(&self) -> Result<(), QueueError> {
        let queue = async {
            if let Some(line) = self.inner.lines.first() {
                self.inner.api.attributes(&line.main, &[WAITING]).await?;
            }
            Ok::<_, QueueError>(())
        };
        let table = async {
            if let Some(table) = &self.table {
                table.lanes().await?;
            }
            Ok(())
        };
        tokio::try_join!(queue, table).map(drop)
    }

    /// See [`Queues::books`](crate::queue::Queues::books).
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn books(&self) -> Result<BTreeMap<String, Counts>, QueueError> {
        match &self.table {
            Some(table) => Ok(table.books().await?),
            None => Ok(BTreeMap::new()),
        }
    }

    /// See [`Queues::overview`](crate::queue::Queues::overview): depths, and the books where there is a table for them.
    ///
    /// # Errors
    /// When SQS cannot be asked.
    pub async fn overview(&self) -> Result<Overview, QueueError> {
        let mut depths = Vec::with_capacity(QueueName::ALL.len());
        for queue in QueueName::ALL {
            depths.push((queue, self.depth(queue).await?));
        }
        let books = self.books().await?;
        Ok(Overview { depths, books, ..Overview::default() })
    }
}
