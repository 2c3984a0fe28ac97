//! A WebSocket, frame by frame (RFC 6455).

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};

use super::raw::Socket;

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The request that opens one.
pub(crate) fn request(subprotocol: &str) -> String {
    format!(
        "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
    )
}

/// Opens one, and answers what the server said to that.
pub(crate) async fn open(socket: &mut impl Socket, request: &str) -> String {
    socket.write_all(request.as_bytes()).await.unwrap();
    socket.flush().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A frame of a client; `last` is whether its message ends with it.
pub(crate) fn frame(opcode: u8, last: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![opcode | u8::from(last) << 7];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    let mask = [1, 2, 3, 4];
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The opcode and the payload of the next frame of a server; none when it has hung up.
pub(crate) async fn receive(socket: &mut (impl AsyncReadExt + Unpin)) -> Option<(u8, Vec<u8>)> {
    let opcode = socket.read_u8().await.ok()?;
    assert_eq!(opcode & 0x80, 0x80, "servers send whole messages");
    let length = match socket.read_u8().await.ok()? {
        126 => socket.read_u16().await.ok()?.into(),
        127 => usize::try_from(socket.read_u64().await.ok()?).unwrap(),
        length => length.into(),
    };
    let mut payload = vec![0; length];
    socket.read_exact(&mut payload).await.ok()?;
    Some((opcode & 0x7f, payload))
}

/// Bytes by WebSocket: those written here go out in messages of `piece` bytes, wherever packets begin and end, and half
/// of them in two frames each.
pub(crate) async fn bytes(mut socket: impl Socket + 'static, piece: usize) -> DuplexStream {
    let answer = open(&mut socket, &request("mqttv3.1, mqtt")).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.to_lowercase().contains("\r\nsec-websocket-protocol: mqtt\r\n"), "{answer}");
    let (near, far) = duplex(piece);
    let (mut from_server, mut to_server) = split(socket);
    let (mut from_client, mut to_client) = split(far);
    // Both end when either side has hung up.
    tokio::spawn(async move {
        let mut buffer = vec![0; piece];
        let mut odd = false;
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            odd = !odd;
            let (one, two) = buffer[..count].split_at(count / 2);
            let mut frames = frame(BINARY, odd, if odd { &buffer[..count] } else { one });
            if !odd {
                frames.extend(frame(0, true, two));
            }
            if to_server.write_all(&frames).await.is_err() || to_server.flush().await.is_err() {
                break;
            }
        }
    });
    tokio::spawn(async move {
        while let Some((BINARY, payload)) = receive(&mut from_server).await {
            if to_client.write_all(&payload).await.is_err() {
                break;
            }
        }
        let _hung_up = to_client.shutdown().await;
    });
    near
}
