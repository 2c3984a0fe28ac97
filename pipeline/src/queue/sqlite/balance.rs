//! Reading the books, and counting anew what was counted.

use rusqlite::{Connection, Row};

use super::{
    SqliteQueues,
    depth::{books, count, depth},
};
use crate::queue::{Account, Audit, Balance, Holding, Miscount, Overview, QueueError, QueueName};

type All<T> = [T; QueueName::ALL.len()];

impl SqliteQueues {
    /// See [`Queues::audit`](crate::queue::Queues::audit).
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn audit(&self, recount: bool) -> Result<Audit, QueueError> {
        self.database().read(move |connection| Ok(audit(connection, recount)?)).await
    }

    /// See [`Queues::overview`](crate::queue::Queues::overview).
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn overview(&self, check: bool) -> Result<Overview, QueueError> {
        let (lanes, now) = (self.options().lanes, self.options().clock.now());
        let look = move |connection: &Connection| {
            let depth = |queue| Ok((queue, depth(connection, queue, lanes, now)?));
            Ok(Overview {
                depths: QueueName::ALL.into_iter().map(depth).collect::<rusqlite::Result<_>>()?,
                books: books(connection)?,
                audit: check.then(|| audit(connection, true)).transpose()?,
            })
        };
        self.database().read(look).await
    }
}

fn audit(connection: &Connection, recount: bool) -> rusqlite::Result<Audit> {
    let balances = Balance::all(&accounts(connection)?, &books(connection)?);
    let miscounts = if recount { miscounts(connection)? } else { Vec::new() };
    Ok(Audit { balances, miscounts })
}

/// What the queues have seen of rows. Where there is no frame at all no row waits, whatever was counted.
fn accounts(connection: &Connection) -> rusqlite::Result<All<Account>> {
    let account = |row: &Row<'_>| {
        Ok(Account {
            entered: count(row, 1)?,
            carried: row.get(2)?,
            waiting: count(row, 3)?,
            dead: count(row, 4)?,
            dropped: count(row, 5)?,
        })
    };
    each(
        connection,
        "SELECT queue, entered, carried,
                iif(EXISTS (SELECT 1 FROM frame WHERE frame.queue = queue.queue), rows, 0),
                iif(EXISTS (SELECT 1 FROM dead WHERE dead.queue = queue.queue), dead_rows, 0), dropped
         FROM queue",
        account,
    )
}

/// Counts every frame that has its bytes, and every dead letter; answers where the counters say something else.
fn miscounts(connection: &Connection) -> rusqlite::Result<Vec<Miscount>> {
    let holding =
        |row: &Row<'_>| Ok(Holding { frames: count(row, 1)?, rows: count(row, 2)?, bytes: count(row, 3)? });
    let counted = each(connection, "SELECT queue, frames, rows, bytes FROM queue", holding)?;
    let dead_counted = each(connection, "SELECT queue, dead, dead_rows, dead_bytes FROM queue", holding)?;
    let found = each(
        connection,
        "SELECT queue, count(*), sum(rows), sum(length(body.bytes)) FROM frame JOIN body USING (seq)
         GROUP BY queue",
        holding,
    )?;
    let dead_found = each(
        connection,
        "SELECT queue, count(*), sum(rows), sum(length(bytes)) FROM dead GROUP BY queue",
        holding,
    )?;
    let compare = |queue: QueueName| {
        let at = queue as usize;
        [(false, counted[at], found[at]), (true, dead_counted[at], dead_found[at])]
            .map(|(dead, counted, found)| Miscount { queue, dead, counted, found })
    };
    let all = QueueName::ALL.into_iter().flat_map(compare);
    Ok(all.filter(|count| count.counted != count.found).collect())
}

/// What a query tells of each queue, whose number is its first column.
fn each<T: Default + Copy>(
    connection: &Connection,
    sql: &str,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<All<T>> {
    let mut all = [T::default(); QueueName::ALL.len()];
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(queue) = QueueName::numbered(row.get(0)?) {
            all[queue as usize] = read(row)?;
        }
    }
    Ok(all)
}
