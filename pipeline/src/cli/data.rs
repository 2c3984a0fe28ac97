//! The data directory that a command looks into.

use std::path::PathBuf;

use anyhow::bail;

use crate::{
    config::{Config, Engine, Overrides},
    process::{data_file, look_at_queues},
    queue::Queues,
};

/// Which topology, and which data of it.
#[derive(Debug, clap::Args)]
pub(super) struct DataArgs {
    /// The topology file; without it, the built-in default.
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory of the queues.
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl DataArgs {
    /// The queues that are there, only to be read.
    ///
    /// # Errors
    /// When there are none, or they cannot be read.
    pub(super) async fn queues(self) -> anyhow::Result<Queues> {
        Ok(look_at_queues(&self.load()?).await?)
    }

    /// The topology, whether or not there are queues of it.
    ///
    /// # Errors
    /// When it has mistakes.
    pub(super) fn topology(self) -> anyhow::Result<Config> {
        let mut config = Config::load(self.config.as_deref())?;
        config.apply(Overrides { data: self.data, ..Overrides::default() })?;
        Ok(config)
    }

    /// The topology.
    ///
    /// # Errors
    /// When it has mistakes, or there are no queues of it.
    pub(super) fn load(self) -> anyhow::Result<Config> {
        let config = self.topology()?;
        let file = data_file(&config);
        if config.topology().queues.engine == Engine::Sqlite && !file.exists() {
            bail!(
                "there are no queues in {}: name the directory of a running `up` with --data",
                file.display()
            );
        }
        Ok(config)
    }
}
