//! A plan for people: what is struck, and when.

use std::{fmt, time::Duration};

use super::{Life, Plan, Process};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, round, mode, qos, mqtt, partition, rate, strike_for, .. } = self;
        writeln!(
            f,
            "seed {seed}, round {round}: {mode}, QoS {qos}, MQTT {mqtt}, a directory per {partition}, \
             {rate} messages/s for {strike_for:?}"
        )?;
        if self.objects {
            writeln!(f, "  the lake is in an object store")?;
        }
        for group in self.groups {
            writeln!(f, "  in one hop: {group}")?;
        }
        for restart in &self.broker_restarts {
            writeln!(f, "  the broker restarts after {restart:?} more")?;
        }
        for process in &self.processes {
            writeln!(f, "  {process}")?;
            let mut begins = Duration::ZERO;
            for life in &process.lives {
                if begins >= *strike_for {
                    break;
                }
                begins += life.kill_after + life.down;
                writeln!(f, "    {life}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stage {
            None => f.write_str("up"),
            Some(stage) => write!(f, "{stage}-{}", self.number),
        }
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(fail_point) = self.fail_point {
            write!(f, "{fail_point}, ")?;
        }
        if let Some(after) = self.stop_after {
            write!(f, "stop after {after:?}, ")?;
        }
        if self.stop_after.is_some() || self.fail_point.is_some_and(|fail_point| fail_point.stop) {
            write!(f, "sleep for {:?}, awake for {:?}, ", self.nap, self.awake)?;
        }
        write!(f, "kill after {:?}, down for {:?}", self.kill_after, self.down)
    }
}
