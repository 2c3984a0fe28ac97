//! The lives of one process of a round.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use super::{
    events::Events,
    plan::{FailPoint, Life, Plan, Process},
};
use crate::{Child, Site};

/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(5);

const SIGKILL: i32 = 9;

/// A process of a round, struck as the plan says.
pub(super) struct Victim<'a> {
    pub(super) site: &'a Site,
    pub(super) plan: &'a Plan,
    pub(super) process: &'a Process,
    pub(super) events: &'a Events,
}

impl Victim<'_> {
    /// Starts its first life, and waits until it works.
    ///
    /// # Panics
    /// When it does not come up.
    pub(super) fn start(&self) -> Child {
        self.start_as(self.process.lives.first().and_then(|life| life.fail_point))
    }

    fn start_as(&self, fail_point: Option<FailPoint>) -> Child {
        let child = Child::start(self.command_of(fail_point));
        self.wait_until_ready(&child);
        child
    }

    fn wait_until_ready(&self, child: &Child) {
        let ready = match (self.process.stage, self.plan.broker_restarts.is_empty()) {
            (None, false) => "subscribed to ",
            (None | Some("ingest"), true) => "listening on mqtt://",
            _ => "running",
        };
        child.says(ready);
    }

    /// Strikes it until `until`; returns the life that is not to end.
    ///
    /// # Panics
    /// When it ends by itself.
    pub(super) fn strike(&self, first: Child, until: Instant) -> Child {
        let mut first = Some(first);
        for (number, life) in self.process.lives.iter().enumerate() {
            let child = first.take().unwrap_or_else(|| Child::start(self.command_of(life.fail_point)));
            match self.live(child, life, number, until) {
                Some(untouched) => {
                    // Before that a signal to stop in order would kill it.
                    self.wait_until_ready(&untouched);
                    return untouched;
                }
                None if Instant::now() >= until => break,
                None => sleep(life.down),
            }
        }
        self.start_as(None)
    }

    /// One life to its end. One that may go on when the time is over is given back.
    fn live(&self, mut child: Child, life: &Life, number: usize, until: Instant) -> Option<Child> {
        let started = Instant::now();
        let (mut kill_at, mut stop_after) = (started + life.kill_after, life.stop_after);
        let at = life.fail_point.map(|fail_point| fail_point.name);
        if let Some(point) = at {
            self.events.tried(point);
        }
        loop {
            if let Some(exit) = child.exit() {
                let Some(point) = at.filter(|_| exit.signal() == Some(SIGKILL)) else {
                    panic!("{} ended by itself: {exit}\n{}", self.process, child.said().join("\n"));
                };
                self.events.killed_at(point);
                break;
            }
            if child.has_stopped() {
                self.events.stopped_at(at.unwrap_or_default());
                kill_at = self.nap(&child, life);
            }
            if stop_after.is_some_and(|after| started.elapsed() >= after) {
                stop_after = None;
                if child.stop() {
                    self.events.stopped();
                    kill_at = self.nap(&child, life);
                }
            }
            let now = Instant::now();
            if now >= until && at.is_none() {
                return Some(child);
            }
            if now >= kill_at.min(until) {
                child.kill_now();
                self.events.killed();
                break;
            }
            sleep(LOOK);
        }
        self.write_down(&child, number);
        None
    }

    /// Lets it sleep, and wakes it; answers when its life is to end now.
    fn nap(&self, child: &Child, life: &Life) -> Instant {
        sleep(life.nap);
        child.go_on();
        Instant::now() + life.awake
    }

    /// Keeps what it has said, for whoever looks into a failure.
    fn write_down(&self, child: &Child, number: usize) {
        let log = self.site.path(&format!("{}-{number}.log", self.process));
        fs::write(log, child.said().join("\n")).expect("a writable site");
    }

    fn command(&self) -> &'static str {
        if self.process.stage.is_some() { "run" } else { "up" }
    }

    fn command_of(&self, fail_point: Option<FailPoint>) -> Command {
        match fail_point {
            Some(fail_point) => self.site.armed(self.command(), &fail_point.to_string()).with(self),
            None => self.site.millstream(self.command()).with(self),
        }
    }
}

/// The arguments of a process.
trait With {
    fn with(self, victim: &Victim<'_>) -> Self;
}

impl With for Command {
    fn with(mut self, victim: &Victim<'_>) -> Self {
        self.args(victim.process.stage);
        if victim.plan.broker_restarts.is_empty() {
            self.arg("--listen").arg(victim.site.address().to_string());
        }
        self
    }
}
