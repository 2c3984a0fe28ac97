//! A request takes its effect, and its answer is lost.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    place::{Place, end},
    rows::{PARTITIONS, assert_once, publish},
};

/// Stands between a program and an object store, and loses the answers to the first requests that begin with some text.
struct Lossy {
    address: SocketAddr,
    left: Arc<AtomicUsize>,
}

impl Lossy {
    fn start(to: SocketAddr, loses: &'static str, times: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, left) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(times)));
        let losses = Arc::clone(&left);
        // Ends with the test.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let losses = Arc::clone(&losses);
                thread::spawn(move || serve(client, to, loses, &losses));
            }
        });
        Self { address, left }
    }

    /// How many answers it is still to lose.
    fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }
}

/// Passes on what one client sends; a request begins with a piece of its own, since each follows the answer to the last.
fn serve(mut client: TcpStream, to: SocketAddr, loses: &str, left: &AtomicUsize) {
    let Ok(mut server) = TcpStream::connect(to) else { return };
    let lost = Arc::new(AtomicUsize::new(0));
    let answers = {
        let (mut from, mut into, lost) =
            (server.try_clone().unwrap(), client.try_clone().unwrap(), Arc::clone(&lost));
        thread::spawn(move || {
            let mut buffer = [0; 1 << 16];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                if lost.load(Ordering::SeqCst) == 1 || into.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            let _gone = into.shutdown(Shutdown::Both);
        })
    };
    let mut buffer = [0; 1 << 16];
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        let piece = &buffer[..count];
        let take = |left: usize| left.checked_sub(1);
        if piece.starts_with(loses.as_bytes())
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
        {
            lost.store(1, Ordering::SeqCst);
        }
        if server.write_all(piece).is_err() {
            break;
        }
    }
    let _gone = server.shutdown(Shutdown::Both);
    answers.join().unwrap();
}

#[test]
fn object_store_a_file_whose_answer_was_lost_is_there_and_is_not_written_again() {
    let place = Place::new();
    let lossy = Lossy::start(place.s3.address(), "PUT /telemetry/lake/readings/", 2);
    place.at(&format!("http://{}", lossy.address));
    let store = place.store();
    publish(&place.site, 0..1);
    place.site.wait_until_dry();
    assert_eq!(lossy.left(), 0);
    end(store);
    assert_once(&place.lake(), 1);
    assert_eq!(place.files() as u64, PARTITIONS, "no fences, nothing again");
}

/// Both the answer to a PUT and that to the look after it are lost: the roll is given up, and what is there is found.
#[test]
fn object_store_a_file_that_cannot_be_looked_for_is_found_later() {
    let place = Place::new();
    let lossy = Lossy::start(place.s3.address(), "PUT /telemetry/lake/readings/", 1);
    let looks = Lossy::start(lossy.address, "HEAD /telemetry/lake/readings/", 8);
    place.at(&format!("http://{}", looks.address));
    let store = place.store();
    publish(&place.site, 0..2);
    place.site.wait_until_dry();
    end(store);
    assert_once(&place.lake(), 2);
}
