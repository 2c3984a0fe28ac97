//! What is to be shown, and where it is to get to.

/// A line of the table.
pub(super) struct Line {
    pub(super) key: &'static str,
    /// What it is, with its unit.
    pub(super) text: &'static str,
    pub(super) goal: Option<Goal>,
}

/// Where a figure is to get to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// No further from 1 than so much.
    Flat(f64),
}

impl Goal {
    pub(super) fn is_met_by(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(least) => figure >= least,
            Self::AtMost(most) => figure <= most,
            Self::Flat(difference) => (figure - 1.0).abs() <= difference,
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "≥ {least}"),
            Self::AtMost(most) => write!(f, "≤ {most}"),
            Self::Flat(difference) => write!(f, "1 ± {difference}"),
        }
    }
}

const fn line(key: &'static str, text: &'static str) -> Line {
    Line { key, text, goal: None }
}

const fn with(key: &'static str, text: &'static str, goal: Goal) -> Line {
    Line { key, text, goal: Some(goal) }
}

/// The table, a group for each yardstick.
pub(super) const GROUPS: &[&[Line]] = &[
    &[
        line("broker_floor_msgs_per_sec", "1 broker floor, messages/s"),
        line("library_floor_us_per_message", "2 library floor, CPU µs a message"),
    ],
    &[
        line("listener_msgs_per_sec", "3 listener, messages/s"),
        with("listener_to_broker_floor", "  of the broker floor", Goal::AtLeast(1.5)),
        line("pipeline_cpu_us_per_message", "  CPU µs a message"),
        with("cpu_to_library_floor", "  of the library floor", Goal::AtMost(2.0)),
        line("listener_peak_mib", "  memory peak, MiB"),
        line("listener_secs", "  seconds of a run"),
        line("listener_simulator_cpu_us_per_message", "  the simulator: CPU µs a message"),
        line("grouped_msgs_per_sec", "  in groups, messages/s"),
        line("grouped_to_listener", "    of that without"),
        line("grouped_cpu_us_per_message", "    CPU µs a message"),
    ],
    &[
        line("subscriber_msgs_per_sec", "4 subscriber, messages/s"),
        with("subscriber_to_broker_floor", "  of the broker floor", Goal::AtLeast(0.7)),
        line("subscriber_cpu_us_per_message", "  CPU µs a message"),
    ],
    &[
        line("batched_readings_per_sec", "5 twenty samples a message, readings/s"),
        with("batched_to_listener_readings", "  of those of 3", Goal::AtLeast(5.0)),
        line("batched_cpu_us_per_reading", "  CPU µs a reading"),
    ],
    &[
        line("paced_msgs_per_sec", "6 latency at messages/s"),
        line("puback_p50_ms", "  PUBACK p50, ms"),
        with("puback_p99_ms", "  PUBACK p99, ms", Goal::AtMost(25.0)),
        line("puback_p99_9_ms", "  PUBACK p99.9, ms"),
        line("alert_p50_ms", "  alert p50, ms"),
        with("alert_p99_ms", "  alert p99, ms", Goal::AtMost(150.0)),
        line("alert_p99_9_ms", "  alert p99.9, ms"),
        line("paced_msgs_per_sec_at_half_max", "  latency at half the maximum: messages/s"),
        line("puback_p50_ms_at_half_max", "  PUBACK p50, ms"),
        line("puback_p99_ms_at_half_max", "  PUBACK p99, ms"),
        line("puback_p99_9_ms_at_half_max", "  PUBACK p99.9, ms"),
        line("alert_p50_ms_at_half_max", "  alert p50, ms"),
        line("alert_p99_ms_at_half_max", "  alert p99, ms"),
        line("alert_p99_9_ms_at_half_max", "  alert p99.9, ms"),
    ],
    &[
        with("backlog_peak_mib", "7 backlog: memory peak, MiB", Goal::AtMost(300.0)),
        line("backlog_front_peak_mib", "  of all before store"),
        line("backlog_store_peak_mib", "  of store"),
        line("backlog_intake_msgs_per_sec", "  intake, messages/s"),
        line("backlog_drain_msgs_per_sec", "  drain, messages/s"),
        with("backlog_drain_to_intake", "  of the intake", Goal::AtLeast(1.0)),
        line("backlog_cpu_us_per_message_at_a_tenth", "  CPU µs a message, a tenth as deep"),
        line("backlog_cpu_us_per_message", "  CPU µs a message"),
        with("backlog_cost_ratio", "  of that of a tenth", Goal::Flat(0.15)),
    ],
    &[
        with("ready_ms", "8 ready, ms", Goal::AtMost(200.0)),
        with("idle_cpu_percent", "  idle, CPU % of a core", Goal::AtMost(1.0)),
        line("idle_peak_mib", "  idle, memory peak, MiB"),
        line("binary_mib", "  binary, MiB"),
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_met_or_not() {
        for (goal, met, not) in
            [(Goal::AtLeast(1.5), 1.5, 1.49), (Goal::AtMost(2.0), 2.0, 2.01), (Goal::Flat(0.15), 0.86, 1.16)]
        {
            assert!(goal.is_met_by(met) && !goal.is_met_by(not), "{goal}");
        }
    }
}
