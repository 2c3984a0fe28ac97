//! The console of a running process, asked over HTTP.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;

use crate::Child;

/// Where to ask.
pub struct Console(SocketAddr);

impl Console {
    /// That of a process that was started with `--console 127.0.0.1:0`.
    ///
    /// # Panics
    /// When it does not say that it has one.
    pub fn of(process: &Child) -> Self {
        let line = process.says("console on http://");
        Self(line.rsplit("http://").next().unwrap().trim().parse().unwrap())
    }

    /// The status and the body of a GET.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(self.0).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: console\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// The value of a metric, labels and all.
    ///
    /// # Panics
    /// When there is none.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let is_value = |rest: &str| rest.strip_prefix("{}").unwrap_or(rest).starts_with(' ');
        let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(is_value));
        let line = line.unwrap_or_else(|| panic!("there is no metric {name}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// What `/readyz` says of this check, if it is red.
    ///
    /// # Panics
    /// When there is no such check.
    pub fn trouble(&self, check: &str) -> Option<String> {
        let (status, body) = self.get("/readyz");
        let body: Value = serde_json::from_str(&body).unwrap();
        let said =
            body["checks"][check].as_str().unwrap_or_else(|| panic!("no {check} in {body}")).to_owned();
        assert!(status == 503 || said == "ok", "{status} {body}");
        (said != "ok").then_some(said)
    }
}
