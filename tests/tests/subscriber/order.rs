//! What goes over the wire to a broker, byte by byte: this broker does what Mosquitto 2.0.11 does only under load.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use tests::{Child, PATIENCE, Site};

use crate::topology;

/// The next packet (MQTT 3.1.1): its first byte, and what follows the length, which is of one byte here.
fn packet(socket: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    socket.read_exact(&mut head).unwrap();
    let mut body = vec![0; head[1].into()];
    socket.read_exact(&mut body).unwrap();
    (head[0], body)
}

/// A PUBLISH with QoS 1.
fn publish(device: &str, id: u8) -> Vec<u8> {
    let topic = format!("devices/{device}/telemetry");
    let mut bytes = vec![0x32, u8::try_from(topic.len() + 6).unwrap(), 0, u8::try_from(topic.len()).unwrap()];
    bytes.extend(topic.as_bytes());
    bytes.extend([0, id]);
    bytes.extend(b"{}");
    bytes
}

/// Messages of devices on every lane, so in several frames; and packet ids that are used anew before their PUBACK.
#[test]
fn each_publish_is_acknowledged_once_in_the_order_of_receipt() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    let site = Site::new(&topology(&url, "version: '3.1.1'"));
    let up = Child::start(site.millstream("up"));
    let (mut socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (connect, _) = packet(&mut socket);
    socket.write_all(&[0x20, 2, 0, 0]).unwrap();
    let (subscribe, body) = packet(&mut socket);
    socket.write_all(&[0x90, 3, body[0], body[1], 1]).unwrap();
    assert_eq!((connect, subscribe), (0x10, 0x82));

    let ids: Vec<u8> = (1..=40).chain([40, 7, 7, 41]).collect();
    let sent: Vec<u8> = ids.iter().flat_map(|id| publish(&format!("device-{}", id % 9), *id)).collect();
    socket.write_all(&sent).unwrap();
    let acknowledged: Vec<(u8, Vec<u8>)> = ids.iter().map(|_| packet(&mut socket)).collect();
    let expected: Vec<(u8, Vec<u8>)> = ids.iter().map(|id| (0x40, vec![0, *id])).collect();
    assert_eq!(acknowledged, expected);

    up.terminate();
    assert_eq!(packet(&mut socket), (0xe0, Vec::new()), "a word of goodbye");
    up.ended().well();
}
