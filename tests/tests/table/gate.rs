//! A way to the server that stops at a request of choice: before the server has it, or before its answer comes back.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use tests::PATIENCE;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
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
    reached: bool,
    open: bool,
}

pub(crate) struct Gate {
    address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Gate {
    /// A way to the server at `endpoint`, with this to happen at the `request`th request.
    pub(crate) fn at(endpoint: &str, request: u64, fate: Fate) -> Self {
        let gate = Self::to(endpoint);
        gate.arm(request, fate);
        gate
    }

    /// A way on which all goes well.
    pub(crate) fn to(endpoint: &str) -> Self {
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
    pub(crate) fn arm(&self, request: u64, fate: Fate) {
        *self.shared.0.lock().unwrap() = State { at: Some((request, fate)), ..State::default() };
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether the request came.
    pub(crate) fn is_reached(&self) -> bool {
        self.shared.0.lock().unwrap().reached
    }

    /// Lets go on what is held.
    pub(crate) fn open(&self) {
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
        if fate == Some(Fate::HeldBefore) {
            held(shared);
        }
        (&server).write_all(&request)?;
        let Some(answer) = message(&mut answers)? else { return Ok(()) };
        match fate {
            Some(Fate::AnswerLost) => return Ok(()),
            Some(Fate::HeldAfter) => held(shared),
            _ => {}
        }
        (&client).write_all(&answer)?;
    }
}

fn fate(shared: &(Mutex<State>, Condvar)) -> Option<Fate> {
    let mut state = shared.0.lock().unwrap();
    state.requests += 1;
    let (at, fate) = state.at?;
    let now = state.requests == at;
    state.reached |= now;
    now.then_some(fate)
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
