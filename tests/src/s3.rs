//! `s3s-fs`, as an object store: a server of its own, whose objects are files that anybody may look at.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use crate::{
    Child,
    site::{free_address, root},
    until,
};

/// Where tests/run.sh installs it.
const PROGRAM: &str = "target/tools/bin/s3s-fs";
/// The name and the secret of the one who may do everything.
const CREDENTIAL: &str = "millstream";
/// The bucket that there is.
const BUCKET: &str = "telemetry";

/// An object store with a bucket, on an address of its own. What it holds outlives it.
pub struct S3 {
    directory: TempDir,
    address: SocketAddr,
    child: Option<Child>,
}

impl S3 {
    /// Starts one with an empty bucket.
    ///
    /// # Panics
    /// When it does not come up, or is not installed.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join(BUCKET)).unwrap();
        let mut s3 = Self { directory, address: free_address(), child: None };
        s3.start_again();
        s3
    }

    /// Starts it with what it holds.
    ///
    /// # Panics
    /// When it does not come up, or is not installed.
    pub fn start_again(&mut self) {
        let program = root().join(PROGRAM);
        assert!(program.is_file(), "there is no {}: run tests/run.sh, which installs it", program.display());
        let mut command = Command::new(program);
        command.args(["--host", &self.address.ip().to_string(), "--port", &self.address.port().to_string()]);
        command.args(["--access-key", CREDENTIAL, "--secret-key", CREDENTIAL]).arg(self.directory.path());
        self.child = Some(Child::start(command));
        until("s3s-fs listens", || TcpStream::connect(self.address).is_ok());
    }

    /// Ends it as a power cut would, as far as it can tell.
    pub fn kill(&mut self) {
        self.child = None;
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What stands in for the service's own URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bucket, as a directory.
    pub fn bucket(&self) -> PathBuf {
        self.directory.path().join(BUCKET)
    }

    /// Lets so much time pass for whatever is below a directory of the bucket.
    ///
    /// # Panics
    /// When a file is not to be touched.
    pub fn let_time_pass(&self, directory: &Path, time: Duration) {
        for path in below(&self.bucket().join(directory)) {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(SystemTime::now() - time).unwrap();
        }
    }

    /// A place in it, as a topology names it.
    pub fn lake(prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// Credentials and region, for a program that is to use it.
    pub fn environment() -> [(&'static str, &'static str); 3] {
        [
            ("AWS_ACCESS_KEY_ID", CREDENTIAL),
            ("AWS_SECRET_ACCESS_KEY", CREDENTIAL),
            ("AWS_REGION", "eu-central-1"),
        ]
    }
}

/// All files below a directory, which need not exist.
///
/// # Panics
/// When it cannot be read.
pub fn below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}
