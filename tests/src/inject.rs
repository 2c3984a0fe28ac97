//! Faults that are put between a program and its system.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The program under strace, which injects `fault` (as `strace --inject` reads it) into system calls; those on `path`
/// only, if there is one. What was called is written to `log`. The child's process is the program itself.
///
/// # Panics
/// When strace is not installed, or may not trace.
pub fn strace(program: &Command, fault: &str, path: Option<&Path>, log: &Path) -> Command {
    let calls = fault.split(':').next().expect("a fault names its calls");
    let may = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    let may =
        may.unwrap_or_else(|_| panic!("there is no strace: apt-get install strace, or run tests/run.sh"));
    assert!(may.success(), "strace may not trace here: be root, or in a container allow SYS_PTRACE");
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-o"]).arg(log);
    command.arg(format!("--trace={calls}")).arg(format!("--inject={fault}"));
    if let Some(path) = path {
        command.arg("-P").arg(path);
    }
    wrapped(command, program)
}

/// A clock that can be put forwards and backwards under a running program.
pub struct WallClock {
    offset: PathBuf,
}

impl WallClock {
    /// The right time, until it is told otherwise; it is kept in this file.
    ///
    /// # Panics
    /// When that cannot be written.
    pub fn new(offset: PathBuf) -> Self {
        let clock = Self { offset };
        clock.jump("+0");
        clock
    }

    /// The clock is off by so much from now on: `+3600` seconds, `-1h`, `+3y`.
    ///
    /// # Panics
    /// When that cannot be written.
    pub fn jump(&self, offset: &str) {
        let next = self.offset.with_extension("next");
        fs::write(&next, format!("{offset}\n")).unwrap();
        fs::rename(next, &self.offset).unwrap();
    }

    /// The program by this clock. Only the time of day is concerned, as on a machine whose clock is set.
    ///
    /// # Panics
    /// When libfaketime is not installed.
    pub fn tells(&self, program: &mut Command) {
        program.env("LD_PRELOAD", library());
        program.env("FAKETIME_TIMESTAMP_FILE", &self.offset).env("FAKETIME_NO_CACHE", "1");
        program.env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
}

/// Debian has it in the directory of its architecture.
fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let found = libraries.into_iter().find(|library| library.is_file());
    found.unwrap_or_else(|| panic!("there is no libfaketime: apt-get install faketime, or run tests/run.sh"))
}

/// A command that runs another one.
fn wrapped(mut outer: Command, program: &Command) -> Command {
    outer.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}
