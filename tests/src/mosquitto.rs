//! Debian's `mosquitto`, as a broker of the user's.

use std::{
    ffi::OsStr,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    Child,
    site::{free_address, program},
};

/// Where Debian has it; not in everybody's `PATH`.
const PROGRAM: &str = "/usr/sbin/mosquitto";

/// A broker with a directory and an address of its own. What it has acknowledged it keeps through [`Mosquitto::stop`]
/// and a new start, but not through `kill -9`.
pub struct Mosquitto {
    directory: TempDir,
    address: SocketAddr,
    child: Option<Child>,
}

impl Mosquitto {
    /// A place for a broker that lets everybody in and has 20 messages in flight for each, as is its default.
    ///
    /// # Panics
    /// When the directory cannot be made.
    pub fn new() -> Self {
        let broker = Self { directory: tempfile::tempdir().unwrap(), address: free_address(), child: None };
        broker.configure("allow_anonymous true\nmax_inflight_messages 20\n");
        broker
    }

    /// Puts other settings in place, for the next start; `listener`, queues without a limit and persistence are set.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn configure(&self, settings: &str) {
        let directory = self.directory.path().display();
        self.write(&format!("persistence true\npersistence_location {directory}/"), settings);
    }

    /// The same for a broker that keeps nothing.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn configure_in_memory(&self, settings: &str) {
        self.write("persistence false", settings);
    }

    fn write(&self, persistence: &str, settings: &str) {
        let (ip, port) = (self.address.ip(), self.address.port());
        let text =
            format!("user root\nmax_queued_messages 0\n{persistence}\nlistener {port} {ip}\n{settings}");
        fs::write(self.path("mosquitto.conf"), text).unwrap();
    }

    /// A path in the broker's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where it listens, or will.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    /// Starts it, with what it kept.
    ///
    /// # Panics
    /// When it does not come up, or is not installed.
    pub fn start(&mut self) {
        assert!(
            Path::new(PROGRAM).is_file(),
            "there is no {PROGRAM}: install it with `apt-get install mosquitto`, or run tests/run.sh"
        );
        let mut command = Command::new(PROGRAM);
        command.arg("-c").arg(self.path("mosquitto.conf"));
        let child = Child::start(command);
        child.says(" running");
        self.child = Some(child);
    }

    /// Stops it in order; the address stays its own.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn stop(&mut self) {
        if let Some(child) = self.child.take() {
            child.terminate();
            child.ended().well();
        }
    }

    /// `device-sim replay` of files to it.
    ///
    /// # Panics
    /// When the program is not built.
    pub fn replay<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Child {
        let mut command = program("device-sim");
        command.args(["replay", "--json", "--broker"]).arg(self.url("mqtt")).args(arguments);
        Child::start(command)
    }
}

impl Default for Mosquitto {
    fn default() -> Self {
        Self::new()
    }
}
