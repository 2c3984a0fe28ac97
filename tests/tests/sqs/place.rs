//! Queues on SQS with a lake in a directory or in an object store.

use std::{path::PathBuf, process::Command};

use serde_json::Value;
use tests::{Child, Ministack, S3, Site, program};

pub(crate) struct Place {
    services: Ministack,
    s3: Option<S3>,
    pub(crate) site: Site,
}

impl Place {
    /// One whose lake is in a directory.
    pub(crate) fn in_directory() -> Self {
        Self::new(None)
    }

    /// One whose lake is in an object store.
    pub(crate) fn in_objects() -> Self {
        Self::new(Some(S3::start()))
    }

    fn new(s3: Option<S3>) -> Self {
        let services = Ministack::start();
        let site = Site::on_aws(&services, "");
        Self { services, s3, site }
    }

    /// The topology: queues and lake, keys of `store` beside the lake, and the rest.
    pub(crate) fn configure(&self, store: &str, rest: &str) {
        let queues = format!(
            "queues: {{ engine: sqs, lease_secs: 5, sqs: {{ endpoint: '{}' }} }}",
            self.services.endpoint()
        );
        let lake = self
            .s3
            .as_ref()
            .map(|s3| format!("lake: '{}', lake_endpoint: '{}', ", S3::lake("lake"), s3.endpoint()));
        let lake = lake.unwrap_or_default();
        self.site.configure(&format!("{queues}\nstore: {{ {lake}{store} }}\n{rest}"));
    }

    /// Where readers find the datasets.
    pub(crate) fn lake(&self) -> PathBuf {
        self.s3.as_ref().map_or_else(|| self.site.lake(), |s3| s3.bucket().join("lake"))
    }

    /// `millstream up`, once it takes messages.
    pub(crate) fn up(&self) -> Child {
        let up = Child::start(allowed(self.site.up_command()));
        up.says("listening on mqtt://");
        up
    }

    /// A command of a program on this place.
    pub(crate) fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = allowed(program(name));
        command.args(arguments).arg("--config").arg(self.site.path("millstream.yaml"));
        command.arg("--data").arg(self.site.data());
        command
    }

    /// What a command of `millstream` answers.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Value {
        let mut command = self.command("millstream", arguments);
        command.arg("--json");
        Child::start(command).ended().well().json()
    }
}

/// With the credentials of the object store; the others take any.
fn allowed(mut command: Command) -> Command {
    command.envs(S3::environment());
    command
}

/// Ends it in order.
pub(crate) fn end(process: Child) {
    process.terminate();
    process.ended().well();
}
