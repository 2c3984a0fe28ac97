//! `millstream queues create`: makes the queues of a topology where an engine does not make them by itself.

use std::{io::Write, process::ExitCode};

use anyhow::bail;

use crate::{
    cli::data::DataArgs,
    config::{Config, Engine},
};

/// Makes the queues on SQS that are not there yet, with those of their dead letters. Others are left as they are.
#[derive(Debug, clap::Args)]
pub(super) struct CreateArgs {}

pub(super) async fn create(_: CreateArgs, data: DataArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let config = data.topology()?;
    match config.topology().queues.engine {
        Engine::Sqlite => bail!("the embedded engine makes its queues by itself: there is nothing to create"),
        Engine::Sqs => on_sqs(&config, out).await,
    }
}

#[cfg(feature = "sqs")]
async fn on_sqs(config: &Config, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    use std::collections::BTreeMap;

    use crate::{
        process::{sqs_client, table},
        queue::sqs::{self, Outcome},
    };

    for queue in sqs::create(sqs_client(config).await, &config.sqs_options()).await? {
        let name = queue.name;
        match queue.outcome {
            Outcome::Made => writeln!(out, "{name}: made")?,
            Outcome::There => writeln!(out, "{name}: was there")?,
            Outcome::Differs(how) => {
                writeln!(out, "{name}: was there and is left as it is: {}", how.join("; "))?
            }
        }
    }
    let table = table(config).await?;
    let made = if table.create(&BTreeMap::new()).await? { "made" } else { "was there" };
    writeln!(out, "table {}: {made}", table.name())?;
    Ok(ExitCode::SUCCESS)
}

/// A config with this engine is a mistake in such a build.
#[cfg(not(feature = "sqs"))]
async fn on_sqs(_: &Config, _: &mut impl Write) -> anyhow::Result<ExitCode> {
    bail!("this millstream is built without SQS; build it with --features sqs")
}
