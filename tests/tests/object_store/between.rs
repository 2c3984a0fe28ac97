//! Who stands between a program and an object store, and does not pass everything on.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It has its effect, and the connection ends without an answer.
    AnswerLost,
    /// It is refused, as by an object store that is asked too much of.
    Throttled,
}

/// What stands between.
pub(crate) struct Between {
    address: SocketAddr,
    left: Arc<AtomicUsize>,
}

impl Between {
    /// Before the server at `to`; has so many requests that begin with `text` come to this fate.
    pub(crate) fn start(to: SocketAddr, text: &'static str, times: usize, fate: Fate) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, left) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(times)));
        let of_all = Arc::clone(&left);
        // Ends with the test.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let left = Arc::clone(&of_all);
                thread::spawn(move || serve(client, to, (text, fate), &left));
            }
        });
        Self { address, left }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests are still to come to their fate.
    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }
}

/// Passes on what one client sends. A request begins a piece of its own, since each follows the answer to the last.
fn serve(mut client: TcpStream, to: SocketAddr, (text, fate): (&str, Fate), left: &AtomicUsize) {
    let Ok(mut server) = TcpStream::connect(to) else { return };
    let is_lost = Arc::new(AtomicBool::new(false));
    let answers = {
        let (mut from, mut into) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let is_lost = Arc::clone(&is_lost);
        thread::spawn(move || {
            let mut buffer = [0; 1 << 16];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                if is_lost.load(Ordering::SeqCst) || into.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            let _gone = into.shutdown(Shutdown::Both);
        })
    };
    let mut buffer = [0; 1 << 16];
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        let piece = &buffer[..count];
        let one_less = |left: usize| left.checked_sub(1);
        let meets_its_fate = piece.starts_with(text.as_bytes())
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
        match fate {
            Fate::Throttled if meets_its_fate => {
                let _sent = client
                    .write_all(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                break;
            }
            Fate::AnswerLost if meets_its_fate => is_lost.store(true, Ordering::SeqCst),
            _ => {}
        }
        if server.write_all(piece).is_err() {
            break;
        }
    }
    let _gone = server.shutdown(Shutdown::Both);
    answers.join().unwrap();
}
