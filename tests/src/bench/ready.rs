//! Yardstick 8: how soon a process is ready, what it costs when there is nothing to do, and how large the program is.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread::sleep,
    time::{Duration, Instant},
};

use super::{
    figures::Figures,
    measure::{self, cpu_of_threads, mib},
    options::Plan,
};
use crate::{Child, PATIENCE, Site, site::program};

/// Between two looks.
const POLL: Duration = Duration::from_micros(500);

/// One round.
pub(super) fn round(plan: &Plan, figures: &mut Figures) {
    for start in 0..plan.starts {
        let site = Site::new("{}\n");
        fs::create_dir(site.data()).expect("a directory");
        let console = site.webhook(0);
        let mut command = site.up_command();
        command.args(["--console", &console.to_string()]);
        let spawned = Instant::now();
        let up = Child::start(command);
        until_ready(console, spawned);
        figures.add("ready_ms", spawned.elapsed().as_secs_f64() * 1e3);
        if start == 0 {
            sleep(plan.settle);
            let (before, from) = (cpu_of_threads(&up), Instant::now());
            sleep(plan.idle);
            let spent = cpu_of_threads(&up).saturating_sub(before);
            figures.add("idle_cpu_percent", 100.0 * spent.as_secs_f64() / from.elapsed().as_secs_f64());
        }
        up.terminate();
        let spent = measure::until_ended(up);
        figures.add("idle_peak_mib", mib(spent.peak));
    }
    let size = fs::metadata(program("millstream").get_program()).expect("a program").len();
    figures.add("binary_mib", mib(size));
}

fn until_ready(console: SocketAddr, since: Instant) {
    while !is_ready(console).unwrap_or(false) {
        assert!(since.elapsed() < PATIENCE, "not ready within {PATIENCE:?}");
        sleep(POLL);
    }
}

/// None as long as nobody listens.
fn is_ready(console: SocketAddr) -> Option<bool> {
    let mut socket = TcpStream::connect(console).ok()?;
    write!(socket, "GET /readyz HTTP/1.1\r\nHost: console\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    Some(answer.starts_with("HTTP/1.1 200 "))
}
