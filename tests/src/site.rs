use std::{
    env,
    ffi::OsStr,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use crate::{Child, Ministack, PATIENCE, until};

/// Where every site listens, on an address of its own.
const PORT: u16 = 18_830;

/// A directory and an address where Millstream can run, be killed, and run again.
pub struct Site {
    directory: TempDir,
    listen: SocketAddr,
    /// Of its programs, beside that of the tests.
    environment: Vec<(&'static str, &'static str)>,
}

impl Site {
    /// A fresh one with this topology file.
    ///
    /// # Panics
    /// When the directory cannot be made.
    pub fn new(topology: &str) -> Self {
        let (directory, listen) = (tempfile::tempdir().unwrap(), free_address());
        let site = Self { directory, listen, environment: Vec::new() };
        site.configure(topology);
        site
    }

    /// One whose queues and state are in these services of AWS, and made by `millstream queues create`; the rest is as
    /// `topology` says, which has no key `queues`. Frames wait for little, unless it has the key `ingest`: requests cost nothing here.
    ///
    /// # Panics
    /// When they cannot be made.
    pub fn on_aws(services: &Ministack, topology: &str) -> Self {
        Self::on_sqs(services, true, topology)
    }

    /// The same with queues that are all standard ones.
    ///
    /// # Panics
    /// When they cannot be made.
    pub fn on_standard_queues(services: &Ministack, topology: &str) -> Self {
        Self::on_sqs(services, false, topology)
    }

    fn on_sqs(services: &Ministack, fifo: bool, topology: &str) -> Self {
        let sqs = format!("{{ endpoint: '{}', fifo: {fifo} }}", services.endpoint());
        let queues = format!("queues: {{ engine: sqs, lease_secs: 5, sqs: {sqs} }}\n");
        let linger = if topology.contains("ingest:") { "" } else { "ingest: { linger_ms: 20 }\n" };
        let site =
            Self::new(&format!("{queues}{linger}{topology}")).with_environment(Ministack::environment());
        site.create_queues();
        site
    }

    /// The same, with more in the environment of its programs.
    #[must_use]
    pub fn with_environment(
        mut self,
        environment: impl IntoIterator<Item = (&'static str, &'static str)>,
    ) -> Self {
        self.environment.extend(environment);
        self
    }

    /// Makes the queues of the topology, where these are not in the data file.
    ///
    /// # Panics
    /// When they cannot be made.
    pub fn create_queues(&self) {
        let mut create = self.millstream("queues");
        create.arg("create");
        Child::start(create).ended().well();
    }

    /// Puts another topology file in place, for processes that start from here on.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn configure(&self, topology: &str) {
        fs::write(self.path("millstream.yaml"), topology).unwrap();
    }

    /// Leaves its files where they are, for somebody to look at; answers where.
    pub fn keep(self) -> PathBuf {
        self.directory.keep()
    }

    /// A path in the site's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The directory of the queues.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The directory of the datasets.
    pub fn lake(&self) -> PathBuf {
        self.data().join("lake")
    }

    /// Where devices connect to.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Where a receiver of webhooks may listen.
    pub fn webhook(&self, number: u16) -> SocketAddr {
        SocketAddr::new(self.listen.ip(), PORT + 1 + number)
    }

    /// `millstream up`, once it takes messages.
    ///
    /// # Panics
    /// When it does not start.
    pub fn up(&self) -> Child {
        let up = Child::start(self.up_command());
        up.says("listening on mqtt://");
        up
    }

    /// `millstream up`, to be started.
    pub fn up_command(&self) -> Command {
        let mut command = self.millstream("up");
        command.arg("--listen").arg(self.listen.to_string());
        command
    }

    /// `millstream run STAGE…`, once it runs.
    ///
    /// # Panics
    /// When it does not start.
    pub fn run(&self, stages: &[&str]) -> Child {
        let mut command = self.millstream("run");
        command.args(stages).arg("--listen").arg(self.listen.to_string());
        let running = Child::start(command);
        running.says(if stages.contains(&"ingest") { "listening on mqtt://" } else { "running" });
        running
    }

    /// What `millstream queues --json` says of the site.
    ///
    /// # Panics
    /// When it fails.
    pub fn queues(&self) -> Value {
        let mut command = self.millstream("queues");
        command.arg("--json");
        Child::start(command).ended().well().json()
    }

    /// Waits until every row is in the lake, for as long as rows move: how long all of them take is up to the machine.
    ///
    /// # Panics
    /// When none does for too long.
    pub fn wait_until_dry(&self) {
        let mut is_dry = false;
        while !is_dry {
            let before = self.queues()["books"].take();
            until("the queues run dry", || {
                let now = self.queues();
                is_dry = all_dry(&now);
                is_dry || now["books"] != before
            });
        }
    }

    /// Whether every row is in the lake.
    ///
    /// # Panics
    /// When the queues cannot be asked.
    pub fn is_dry(&self) -> bool {
        all_dry(&self.queues())
    }

    /// Whether anybody can write to the data file: not while a process sleeps in the middle of a commit.
    ///
    /// # Panics
    /// When there is none.
    pub fn is_writable(&self) -> bool {
        let file = Connection::open(self.data().join("millstream.db")).unwrap();
        file.busy_timeout(Duration::from_millis(200)).unwrap();
        file.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok()
    }

    /// A command of `millstream` on the site's topology and data.
    pub fn millstream(&self, command: &str) -> Command {
        self.on_site(program("millstream"), command)
    }

    /// The same, of a program that comes to an end or falls asleep at a moment of [`millstream::failpoint`]:
    /// `NAME:HIT:kill` or `NAME:HIT:stop`.
    pub fn armed(&self, command: &str, fail_point: &str) -> Command {
        let mut armed = self.on_site(program("millstream-failpoints"), command);
        armed.env("MILLSTREAM_FAIL_POINT", fail_point);
        armed
    }

    fn on_site(&self, mut millstream: Command, command: &str) -> Command {
        millstream.arg(command).arg("--config").arg(self.path("millstream.yaml"));
        millstream.arg("--data").arg(self.data()).envs(self.environment.iter().copied());
        millstream
    }

    /// `device-sim run` against the site, with a ledger.
    pub fn fleet<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Child {
        let mut command = self.simulator("run");
        command.arg("--ledger").arg(self.ledger()).args(arguments);
        Child::start(command)
    }

    /// `device-sim replay` of files against the site.
    pub fn replay<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Child {
        let mut command = self.simulator("replay");
        command.args(arguments);
        Child::start(command)
    }

    /// What `device-sim verify` says of the fleet's ledger and the lake; it takes its time for many messages.
    ///
    /// # Panics
    /// When the books do not balance.
    pub fn verify(&self) -> Value {
        self.verifying().ended_within(5 * PATIENCE).well().json()
    }

    /// `device-sim verify`, which takes its time for many messages.
    pub fn verifying(&self) -> Child {
        self.verifying_in(&self.lake())
    }

    /// The same where the lake is elsewhere.
    pub fn verifying_in(&self, lake: &Path) -> Child {
        let mut command = program("device-sim");
        command.args(["verify", "--json", "--ledger"]).arg(self.ledger()).arg("--lake").arg(lake);
        Child::start(command)
    }

    /// What the fleet has sent.
    pub fn ledger(&self) -> PathBuf {
        self.path("ledger.jsonl")
    }

    fn simulator(&self, command: &str) -> Command {
        let mut simulator = program("device-sim");
        simulator.arg(command).arg("--json").arg("--broker").arg(format!("mqtt://{}", self.listen));
        simulator
    }
}

/// Whether nothing waits, by what `millstream queues --json` says.
fn all_dry(depths: &Value) -> bool {
    let queues = depths["queues"].as_object().expect("an object per queue");
    queues.values().all(|depth| depth["frames"] == 0)
}

/// A binary of this workspace, built like the tests and lying beside them.
///
/// # Panics
/// When it is not built.
pub fn program(name: &str) -> Command {
    let path = programs().join(name);
    let build = match name {
        "millstream-failpoints" => {
            "cargo build --release -p tests --features failpoints --bin millstream-failpoints"
        }
        _ => "cargo build --release --workspace --bins",
    };
    assert!(path.is_file(), "there is no {}: build it with `{build}`, or run tests/run.sh", path.display());
    let mut command = Command::new(path);
    // Nor must loopback go through a proxy.
    for name in
        ["MILLSTREAM_LOG", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"]
    {
        command.env_remove(name);
    }
    command
}

/// Where the binaries of this workspace lie.
pub(crate) fn programs() -> PathBuf {
    let ours = env::current_exe().unwrap();
    let above = ours.parent().expect("a file lies in a directory");
    // Tests lie in a directory beside the programs.
    let is_test = above.file_name().is_some_and(|name| name == "deps");
    ours.ancestors().nth(if is_test { 2 } else { 1 }).expect("a target directory").to_owned()
}

/// An address that no other test has, so that who was killed can come back to it: all of 127.0.0.0/8 is loopback.
/// Nor can a client that waits for its server reach itself there, as it now and then does where ports are lent.
pub(crate) fn free_address() -> SocketAddr {
    static SITES: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = process::id().to_be_bytes();
    let site = SITES.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from((Ipv4Addr::new(127, site, high, low), PORT))
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member of the workspace")
}
