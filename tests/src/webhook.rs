//! A receiver of webhooks: a small HTTP/1.1 server that writes down what it is sent.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::until;

/// One request, and how it was answered.
#[derive(Debug, Clone)]
pub struct Post {
    /// Its headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: Value,
    /// The status of the answer.
    pub status: u16,
    /// When it came.
    pub received_at: Instant,
    /// When it was about to be answered.
    pub answered_at: Instant,
}

impl Post {
    /// A text in the body; empty where there is none.
    pub fn text(&self, key: &str) -> &str {
        self.body[key].as_str().unwrap_or_default()
    }

    /// Whether it was taken.
    pub fn is_taken(&self) -> bool {
        self.status == 200
    }
}

/// How to answer a request.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// With which status.
    pub status: u16,
    /// After which time.
    pub after: Duration,
    /// What to say in `Retry-After`.
    pub retry_after_secs: Option<u32>,
}

impl From<u16> for Answer {
    fn from(status: u16) -> Self {
        Self { status, after: Duration::ZERO, retry_after_secs: None }
    }
}

/// What requests are read from and answers written to.
pub trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

type Wrap = Box<dyn Fn(TcpStream) -> Box<dyn Stream> + Send + Sync>;
type Judge = Box<dyn Fn(usize, &Value) -> Answer + Send + Sync>;

/// A running receiver; dropping it closes its connections and its port.
pub struct Webhook {
    inner: Arc<Inner>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

struct Inner {
    wrap: Wrap,
    judge: Judge,
    closed: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
    posts: Mutex<Vec<Post>>,
}

impl Webhook {
    /// Listens on `address`. `judge` is asked for each answer, with the number of requests before it and the body.
    ///
    /// # Panics
    /// When the address stays taken.
    pub fn start(
        address: SocketAddr,
        judge: impl Fn(usize, &Value) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start_wrapped(address, |stream| Box::new(stream), judge)
    }

    /// Like [`Webhook::start`], with something between HTTP and TCP.
    ///
    /// # Panics
    /// When the address stays taken.
    pub fn start_wrapped(
        address: SocketAddr,
        wrap: impl Fn(TcpStream) -> Box<dyn Stream> + Send + Sync + 'static,
        judge: impl Fn(usize, &Value) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let mut listening = None;
        until(&format!("{address} is free"), || {
            listening = TcpListener::bind(address).ok();
            listening.is_some()
        });
        let listener = listening.expect("until it was");
        let inner = Arc::new(Inner {
            wrap: Box::new(wrap),
            judge: Box::new(judge),
            closed: AtomicBool::new(false),
            connections: Mutex::default(),
            posts: Mutex::default(),
        });
        let accepting = Arc::clone(&inner);
        let accepting = thread::spawn(move || accepting.accept(&listener));
        Self { inner, address, accepting: Some(accepting) }
    }

    /// Every request so far, in the order of its answer.
    ///
    /// # Panics
    /// When a request could not be read.
    pub fn posts(&self) -> Vec<Post> {
        self.inner.posts.lock().unwrap().clone()
    }

    /// Waits until `count` requests were taken.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn until_taken(&self, count: usize) {
        until(&format!("{count} alerts are taken"), || {
            self.posts().iter().filter(|post| post.is_taken()).count() >= count
        });
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.inner.closed.store(true, Ordering::Relaxed);
        // Wakes whoever accepts.
        let _woken = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ended = accepting.join();
        }
        for connection in self.inner.connections.lock().unwrap().drain(..) {
            // It may be closed already.
            let _closed = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Inner {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.closed.load(Ordering::Relaxed) {
                return;
            }
            let stream = stream.unwrap();
            self.connections.lock().unwrap().push(stream.try_clone().unwrap());
            let connection = Arc::clone(&self);
            // Ends with the connection.
            thread::spawn(move || connection.serve((connection.wrap)(stream)));
        }
    }

    /// Answers requests until the client or somebody else closes the connection.
    fn serve(&self, stream: Box<dyn Stream>) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let headers = read_head(&mut stream)?;
            let received_at = Instant::now();
            let length = headers.get("content-length")?.parse().ok()?;
            let mut body = vec![0; length];
            stream.read_exact(&mut body).ok()?;
            let body = serde_json::from_slice(&body).ok()?;
            let before = self.posts.lock().unwrap().len();
            let Answer { status, after, retry_after_secs } = (self.judge)(before, &body);
            sleep(after);
            let post = Post { headers, body, status, received_at, answered_at: Instant::now() };
            self.posts.lock().unwrap().push(post);
            let retry = retry_after_secs.map_or(String::new(), |secs| format!("Retry-After: {secs}\r\n"));
            let answer = format!("HTTP/1.1 {status} Said\r\n{retry}Content-Length: 2\r\n\r\n{{}}");
            stream.get_mut().write_all(answer.as_bytes()).ok()?;
            stream.get_mut().flush().ok()?;
        }
    }
}

/// The headers of a POST request.
fn read_head(stream: &mut impl BufRead) -> Option<BTreeMap<String, String>> {
    let mut lines = stream.lines().map_while(Result::ok);
    lines.next().filter(|first| first.starts_with("POST /"))?;
    let mut headers = BTreeMap::new();
    for line in lines {
        if line.is_empty() {
            return Some(headers);
        }
        let (name, value) = line.split_once(':')?;
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    None
}
