//! `ministack`, as the services of AWS: queues, tables, buckets. It is a server of its own, and what it holds ends with it.

use std::{net::SocketAddr, net::TcpStream, process::Command};

use aws_config::SdkConfig;
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use millstream::{
    aws::{self, AwsOptions},
    state::dynamodb::{Table, TableOptions},
};

use crate::{
    Child,
    site::{free_address, root},
    until,
};

/// Where tests/run.sh installs it.
const PROGRAM: &str = "target/test-venv/bin/ministack";
/// It takes any.
const CREDENTIAL: &str = "test";
/// The region of everything in it.
pub const REGION: &str = "eu-central-1";

/// The services, on an address of their own.
pub struct Ministack {
    address: SocketAddr,
    _child: Child,
}

impl Ministack {
    /// Starts it, empty.
    ///
    /// # Panics
    /// When it does not come up, or is not installed.
    pub fn start() -> Self {
        let program = root().join(PROGRAM);
        assert!(program.is_file(), "there is no {}: run tests/run.sh, which installs it", program.display());
        let address = free_address();
        let (host, url) = (address.ip().to_string(), format!("http://{address}"));
        let mut command = Command::new(program);
        command.env("BIND_HOST", &host).env("MINISTACK_HOST", &host).env("AWS_ENDPOINT_URL", &url);
        command.env("GATEWAY_PORT", address.port().to_string());
        let child = Child::start(command);
        until("ministack listens", || TcpStream::connect(address).is_ok());
        Self { address, _child: child }
    }

    /// What stands in for the services' own URLs.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client of its queues.
    pub async fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.config().await)
    }

    /// A handle on one of its tables, as another process has; the table need not be there.
    pub async fn table(&self, options: TableOptions) -> Table {
        Table::new(&self.config().await, options)
    }

    async fn config(&self) -> SdkConfig {
        let options = AwsOptions { region: Some(REGION.to_owned()), endpoint: Some(self.endpoint()) };
        let credentials = SharedCredentialsProvider::new(Credentials::for_tests());
        aws::config(&options).await.into_builder().credentials_provider(credentials).build()
    }

    /// Credentials and region, for a program that is to use it.
    pub fn environment() -> [(&'static str, &'static str); 3] {
        [("AWS_ACCESS_KEY_ID", CREDENTIAL), ("AWS_SECRET_ACCESS_KEY", CREDENTIAL), ("AWS_REGION", REGION)]
    }
}
