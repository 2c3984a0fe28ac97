use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{self, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::{PATIENCE, POLL, until};

/// A running program; dropping it kills it.
pub struct Child {
    name: String,
    process: process::Child,
    out: Arc<Output>,
    err: Arc<Output>,
}

/// What came of a program.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    /// The lines of its standard output.
    pub out: Vec<String>,
    /// The lines of its standard error.
    pub err: Vec<String>,
}

/// The lines of one stream so far.
#[derive(Default)]
struct Output {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    closed: bool,
}

impl Child {
    /// Starts a program and collects what it says.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(command: Command) -> Self {
        Self::start_reading(command, Stdio::null())
    }

    /// Starts a program that reads from `input`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_reading(mut command: Command, input: Stdio) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let started = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut process = started.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let out = Output::of(process.stdout.take().expect("piped"));
        let err = Output::of(process.stderr.take().expect("piped"));
        Self { name, process, out, err }
    }

    /// Waits until the program says `text` on standard error, and returns that line.
    ///
    /// # Panics
    /// When it ends without, or does not within [`PATIENCE`].
    pub fn says(&self, text: &str) -> String {
        let said = self.err.wait(|lines| lines.iter().find(|line| line.contains(text)).cloned());
        said.unwrap_or_else(|| {
            panic!("{} did not say {text:?}, but\n{}", self.name, self.err.text().join("\n"))
        })
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.exit().is_none()
    }

    /// Ends it as a power cut would, as far as it can tell.
    pub fn kill(mut self) {
        self.end();
    }

    /// The same, of one that still has something to say.
    pub fn kill_now(&mut self) {
        self.end();
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks it to read its files again.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Puts it to sleep: to the others it is as if it hung. False if it has ended before.
    ///
    /// # Panics
    /// When it does not fall asleep.
    pub fn stop(&mut self) -> bool {
        self.signal(Signal::STOP);
        let mut asleep = false;
        until("a process sleeps or has ended", || {
            asleep = self.has_stopped();
            asleep || self.exit().is_some()
        });
        asleep
    }

    /// Wakes it.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Whether it has fallen asleep; says so once for each time.
    pub fn has_stopped(&self) -> bool {
        let pid = WaitId::Pid(Pid::from_child(&self.process));
        let stopped = waitid(pid, WaitIdOptions::STOPPED | WaitIdOptions::NOHANG);
        // It fails for one that has ended.
        stopped.is_ok_and(|status| status.is_some())
    }

    /// The most memory that it has had at once so far, in bytes (`VmHWM`, so on Linux).
    ///
    /// # Panics
    /// When it has ended.
    pub fn memory_peak(&self) -> u64 {
        self.memory_peak_if_alive().expect("it lives")
    }

    /// The same; none when it has ended.
    pub(crate) fn memory_peak_if_alive(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib = peak.trim().strip_suffix(" kB").expect("a peak in kB");
        Some(1024 * kib.parse::<u64>().expect("a number"))
    }

    /// Its number, which stays its own until [`Child::ended`] or a drop.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it has ended. What `/proc` says of it can still be read.
    pub(crate) fn is_over(&self) -> bool {
        let pid = WaitId::Pid(Pid::from_child(&self.process));
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(pid, options).expect("a child of ours").is_some()
    }

    /// How it has ended, if it has.
    pub fn exit(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().expect("a child of ours")
    }

    /// What it has said on standard error so far.
    pub fn said(&self) -> Vec<String> {
        self.err.text()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("a child of ours");
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it does not within [`PATIENCE`].
    pub fn ended(self) -> Ended {
        self.ended_within(PATIENCE)
    }

    /// The same of one that has much to do.
    ///
    /// # Panics
    /// When it does not within `patience`.
    pub fn ended_within(mut self, patience: Duration) -> Ended {
        let deadline = Instant::now() + patience;
        let status = loop {
            if let Some(status) = self.process.try_wait().expect("a child of ours") {
                break status;
            }
            if Instant::now() >= deadline {
                panic!("{} did not end within {patience:?}:\n{}", self.name, self.err.text().join("\n"));
            }
            thread::sleep(POLL);
        };
        Ended { code: status.code(), out: self.out.whole(), err: self.err.whole() }
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

impl Ended {
    /// Asserts exit code 0.
    ///
    /// # Panics
    /// When it was another, with all it said.
    pub fn well(self) -> Self {
        self.with(0)
    }

    /// Asserts an exit code.
    ///
    /// # Panics
    /// When it was another, with all it said.
    pub fn with(self, code: i32) -> Self {
        let Self { out, err, .. } = &self;
        assert_eq!(self.code, Some(code), "\n{}\n{}", out.join("\n"), err.join("\n"));
        self
    }

    /// How many lines of standard error have this in them.
    pub fn said(&self, text: &str) -> usize {
        self.err.iter().filter(|line| line.contains(text)).count()
    }

    /// The last line of standard output, as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        let last = self.out.last().unwrap_or_else(|| panic!("nothing on standard output: {:?}", self.err));
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error} in {last}"))
    }
}

impl Output {
    fn of(stream: impl Read + Send + 'static) -> Arc<Self> {
        let output = Arc::new(Self::default());
        let into = Arc::clone(&output);
        // Ends with the stream, at the latest when the program does.
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                into.lines.lock().unwrap().lines.push(String::from_utf8_lossy(&line).into_owned());
                into.changed.notify_all();
            }
            into.lines.lock().unwrap().closed = true;
            into.changed.notify_all();
        });
        output
    }

    /// Waits until `find` finds something; none when the stream ends first, or time runs out.
    fn wait<T>(&self, mut find: impl FnMut(&[String]) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(found) = find(&lines.lines) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.closed || left.is_zero() {
                return None;
            }
            lines = self.changed.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// All lines, once the stream has ended.
    fn whole(&self) -> Vec<String> {
        self.wait(|_| None::<()>);
        self.text()
    }

    fn text(&self) -> Vec<String> {
        self.lines.lock().unwrap().lines.clone()
    }
}
