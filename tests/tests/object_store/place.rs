//! An object store, and a topology whose lake is in it.

use std::{path::PathBuf, process::Command};

use tests::{Child, S3, Site, lake, program};

/// Short leases and quick rolls. Nobody merges by himself.
const TOPOLOGY: &str = "
queues: { lease_secs: 2 }
compact: { every_secs: 0 }
topics: [{ pattern: 'devices/{device}/telemetry', schema: 'builtin:device_sim' }]
";

pub(crate) struct Place {
    pub(crate) s3: S3,
    pub(crate) site: Site,
}

impl Place {
    pub(crate) fn new() -> Self {
        let s3 = S3::start();
        let endpoint = s3.endpoint();
        let place = Self { s3, site: Site::new("") };
        place.at(&endpoint);
        place
    }

    /// Has the object store be at another endpoint from here on.
    pub(crate) fn at(&self, endpoint: &str) {
        self.configure(endpoint, "age_secs: 1, age_secs_max: 1");
    }

    /// Has store write nothing before it has so many rows.
    pub(crate) fn gather(&self, rows: u64) {
        self.configure(&self.s3.endpoint(), &format!("rows_max: {rows}, age_secs: 3600, age_secs_max: 3600"));
    }

    fn configure(&self, endpoint: &str, rolls: &str) {
        let lake = S3::lake("lake");
        self.site.configure(&format!(
            "{TOPOLOGY}store: {{ lake: '{lake}', lake_endpoint: '{endpoint}', partition: hour, {rolls} }}\n"
        ));
    }

    /// Where readers find the datasets.
    pub(crate) fn lake(&self) -> PathBuf {
        self.s3.bucket().join("lake")
    }

    /// `millstream up`, once it takes messages.
    pub(crate) fn up(&self) -> Child {
        let up = Child::start(allowed(self.site.up_command()));
        up.says("listening on mqtt://");
        up
    }

    /// `millstream run store`, once it runs.
    pub(crate) fn store(&self) -> Child {
        let store = self.start_store(program("millstream"));
        store.says("running");
        store
    }

    /// The same, of a program that comes to an end or falls asleep at a moment.
    pub(crate) fn armed_store(&self, fail_point: &str) -> Child {
        let mut command = program("millstream-failpoints");
        command.env("MILLSTREAM_FAIL_POINT", fail_point);
        self.start_store(command)
    }

    fn start_store(&self, mut command: Command) -> Child {
        command.args(["run", "store", "--config"]).arg(self.site.path("millstream.yaml"));
        command.arg("--data").arg(self.site.data());
        Child::start(allowed(command))
    }

    /// A command of `millstream`.
    pub(crate) fn command(&self, name: &str) -> Command {
        allowed(self.site.millstream(name))
    }

    /// The same, of a program that comes to an end at a moment.
    pub(crate) fn armed(&self, name: &str, fail_point: &str) -> Command {
        allowed(self.site.armed(name, fail_point))
    }

    /// How many Parquet files readers of the lake find.
    pub(crate) fn files(&self) -> usize {
        lake::files(&self.lake()).len()
    }
}

/// With the credentials of the object store.
pub(crate) fn allowed(mut command: Command) -> Command {
    command.envs(S3::environment());
    command
}

/// Ends it in order.
pub(crate) fn end(process: Child) {
    process.terminate();
    process.ended().well();
}
