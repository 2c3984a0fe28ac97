//! A way to a server on which things go wrong: at a request of choice, or at all of them for a while.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use crate::PATIENCE;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It never comes to the server, and the connection ends.
    Cut,
    /// It never comes to the server: this is the answer, in the protocol of SQS and DynamoDB.
    Refused {
        /// The status.
        status: u16,
        /// What AWS calls the error.
        code: &'static str,
    },
    /// It comes to the server once the gate is opened.
    HeldBefore,
    /// The server does it, and its answer comes once the gate is opened.
    HeldAfter,
    /// The server does it, and its answer never comes: the connection ends.
    AnswerLost,
}

#[derive(Default)]
struct State {
    requests: u64,
    /// At which request what happens.
    at: Option<(u64, Fate)>,
    /// What happens to all, in turn.
    storm: Option<&'static [Fate]>,
    /// How many requests that has met.
    struck: u64,
    reached: bool,
    open: bool,
}

/// The way; it ends with the test.
pub struct Gate {
    address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Gate {
    /// A way to the server at `endpoint`, with this to happen at the `request`th request.
    ///
    /// # Panics
    /// When there is no such address.
    pub fn at(endpoint: &str, request: u64, fate: Fate) -> Self {
        let gate = Self::to(endpoint);
        gate.arm(request, fate);
        gate
    }

    /// A way on which all goes well.
    ///
    /// # Panics
    /// When there is no such address.
    pub fn to(endpoint: &str) -> Self {
        let server: SocketAddr = endpoint.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let passes = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, passes) = (client.unwrap(), Arc::clone(&passes));
                // The end of either side ends it.
                thread::spawn(move || drop(pass(client, server, &passes)));
            }
        });
        Self { address, shared }
    }

    /// Has this happen at the `request`th request from now.
    ///
    /// # Panics
    /// After a panic on the way.
    pub fn arm(&self, request: u64, fate: Fate) {
        *self.shared.0.lock().unwrap() = State { at: Some((request, fate)), ..State::default() };
    }

    /// Has these happen to all requests in turn, until [`Gate::calm`].
    ///
    /// # Panics
    /// After a panic on the way.
    pub fn storm(&self, fates: &'static [Fate]) {
        *self.shared.0.lock().unwrap() = State { storm: Some(fates), ..State::default() };
    }

    /// Lets all go through again.
    ///
    /// # Panics
    /// After a panic on the way.
    pub fn calm(&self) {
        self.shared.0.lock().unwrap().storm = None;
    }

    /// How many requests the last storm has met.
    ///
    /// # Panics
    /// After a panic on the way.
    pub fn struck(&self) -> u64 {
        self.shared.0.lock().unwrap().struck
    }

    /// What stands in for the server's URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether the request came.
    ///
    /// # Panics
    /// After a panic on the way.
    pub fn is_reached(&self) -> bool {
        self.shared.0.lock().unwrap().reached
    }

    /// Lets go on what is held.
    ///
    /// # Panics
    /// After a panic on the way.
    pub fn open(&self) {
        self.shared.0.lock().unwrap().open = true;
        self.shared.1.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

/// Carries requests and answers until either side ends.
fn pass(client: TcpStream, server: SocketAddr, shared: &(Mutex<State>, Condvar)) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    // An answer is written at once.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    server.set_read_timeout(Some(PATIENCE))?;
    let (mut requests, mut answers) =
        (BufReader::new(client.try_clone()?), BufReader::new(server.try_clone()?));
    loop {
        let Some(request) = message(&mut requests)? else { return Ok(()) };
        let fate = fate(shared);
        match fate {
            Some(Fate::Cut) => return Ok(()),
            Some(Fate::Refused { status, code }) => {
                (&client).write_all(refusal(status, code).as_bytes())?;
                continue;
            }
            Some(Fate::HeldBefore) => held(shared),
            _ => {}
        }
        (&server).write_all(&request)?;
        let Some(answer) = message(&mut answers)? else { return Ok(()) };
        match fate {
            Some(Fate::AnswerLost) if !has_calmed(shared) => return Ok(()),
            Some(Fate::HeldAfter) => held(shared),
            _ => {}
        }
        (&client).write_all(&answer)?;
    }
}

fn fate(shared: &(Mutex<State>, Condvar)) -> Option<Fate> {
    let mut state = shared.0.lock().unwrap();
    state.requests += 1;
    if let Some(fates) = state.storm {
        let fate = fates[state.struck as usize % fates.len()];
        state.struck += 1;
        return Some(fate);
    }
    let (at, fate) = state.at?;
    let now = state.requests == at;
    state.reached |= now;
    now.then_some(fate)
}

/// Whether a storm is over, whose last answers come from before it.
fn has_calmed(shared: &(Mutex<State>, Condvar)) -> bool {
    let state = shared.0.lock().unwrap();
    state.struck > 0 && state.storm.is_none()
}

fn refusal(status: u16, code: &str) -> String {
    let body = format!("{{\"__type\":\"{code}\",\"message\":\"not now\"}}");
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Refused\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn held(shared: &(Mutex<State>, Condvar)) {
    let state = shared.0.lock().unwrap();
    let patience = PATIENCE + Duration::from_secs(60);
    drop(shared.1.wait_timeout_while(state, patience, |state| !state.open).unwrap());
}

/// One message of HTTP/1.1, whose body has a length or comes in chunks; none at the end.
fn message(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let (mut bytes, mut length, mut chunked) = (Vec::new(), 0, false);
    loop {
        let line = line(from, &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        match line.split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().unwrap(),
            Some(("transfer-encoding", value)) => chunked = value.contains("chunked"),
            _ if line.is_empty() => break,
            _ => {}
        }
    }
    while chunked {
        let chunk = usize::from_str_radix(&line(from, &mut bytes)?, 16).unwrap();
        take(from, chunk, &mut bytes)?;
        line(from, &mut bytes)?;
        chunked = chunk > 0;
    }
    take(from, length, &mut bytes)?;
    Ok(Some(bytes))
}

fn line(from: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<String> {
    let before = bytes.len();
    from.read_until(b'\n', bytes)?;
    Ok(String::from_utf8_lossy(&bytes[before..]).trim_end().to_lowercase())
}

fn take(from: &mut impl BufRead, length: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    from.take(length as u64).read_to_end(bytes).map(drop)
}
