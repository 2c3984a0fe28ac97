//! The queues of a topology, as its file says.

use std::{path::PathBuf, time::Duration};

use super::{Part, ProcessError};
#[cfg(all(feature = "sqs", feature = "object-store"))]
use crate::lake::LakeAddress;
#[cfg(feature = "sqs")]
use crate::{
    aws,
    config::Engine,
    queue::{QueueError, SqsQueues},
    state::dynamodb::Table,
};
use crate::{
    config::Config,
    database::Database,
    queue::{Queues, SqliteQueues},
};

/// The file with everything of a topology that is not in the lake yet.
pub fn data_file(config: &Config) -> PathBuf {
    config.data().join("millstream.db")
}

/// The data file: that of the queues, or one of this process for MQTT sessions.
pub(super) fn local_file(
    config: &Config,
    queues: &Queues,
    parts: &[Part],
) -> Result<Option<Database>, ProcessError> {
    Ok(match queues.database() {
        Some(database) => Some(database.clone()),
        None if parts.contains(&Part::Ingest) => Some(Database::open(&data_file(config))?),
        None => None,
    })
}

/// The queues of a topology.
///
/// # Errors
/// When the data file cannot be used, or has another number of lanes.
pub async fn open_queues(config: &Config) -> Result<Queues, ProcessError> {
    #[cfg(feature = "sqs")]
    if config.topology().queues.engine == Engine::Sqs {
        return open_sqs(config).await;
    }
    let spare_for = Duration::from_secs(config.topology().queues.spare_secs.into());
    let database = Database::open_with(&data_file(config), spare_for)?;
    Ok(Queues::Sqlite(SqliteQueues::open(database, config.sqlite_options()).await?))
}

/// The queues of a topology, only to be read: nothing is created, nor is the file of an older version brought to this one.
///
/// # Errors
/// When the data file cannot be read, is of another version, or has another number of lanes.
pub async fn look_at_queues(config: &Config) -> Result<Queues, ProcessError> {
    #[cfg(feature = "sqs")]
    if config.topology().queues.engine == Engine::Sqs {
        let (table, queues) = (table(config).await?, sqs_queues(config).await?);
        table.look(config.topology().lanes).await.map_err(QueueError::from)?;
        return Ok(Queues::Sqs(queues.with_table(table)));
    }
    let database = Database::look(&data_file(config))?;
    Ok(Queues::Sqlite(SqliteQueues::open_to_read(database, config.sqlite_options()).await?))
}

/// The queues of a topology on SQS, whose number of lanes is fixed from then on.
#[cfg(feature = "sqs")]
async fn open_sqs(config: &Config) -> Result<Queues, ProcessError> {
    // Nothing is fixed in a table before the queues are known to be the right ones.
    let (table, queues) = (table(config).await?, sqs_queues(config).await?);
    table.check().await.map_err(QueueError::from)?;
    table.fix_lanes(config.topology().lanes).await.map_err(QueueError::from)?;
    Ok(Queues::Sqs(queues.with_table(table)))
}

#[cfg(feature = "sqs")]
async fn sqs_queues(config: &Config) -> Result<SqsQueues, ProcessError> {
    Ok(SqsQueues::open(sqs_client(config).await, config.sqs_options()).await?)
}

/// The table of a topology; nothing is asked of it yet. Large states go beside a lake that is in an object store.
///
/// # Errors
/// When what the topology and the environment say of that object store does not fit together.
#[cfg(feature = "sqs")]
pub async fn table(config: &Config) -> Result<Table, ProcessError> {
    let table = Table::new(&aws::config(&config.table_aws_options()).await, config.table_options());
    #[cfg(feature = "object-store")]
    if let LakeAddress::Bucket(bucket) = config.lake() {
        let (store, prefix) = bucket.states(table.name())?;
        return Ok(table.with_objects(store, &prefix));
    }
    Ok(table)
}

/// What asks SQS, as the topology and the environment say.
#[cfg(feature = "sqs")]
pub async fn sqs_client(config: &Config) -> aws_sdk_sqs::Client {
    aws_sdk_sqs::Client::new(&aws::config(&config.aws_options()).await)
}
