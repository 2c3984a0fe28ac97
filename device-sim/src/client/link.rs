//! One network connection: TCP, CONNECT, CONNACK.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    Mqtt, Qos, Target,
    codec::{self, Cursor, Decoder, Incoming, Limits},
};
use crate::SimError;

/// How long a server may take from the first SYN to its CONNACK.
const CONNECT_SECS: u64 = 10;

/// A connection that the server has accepted.
pub(crate) struct Link {
    pub(crate) stream: TcpStream,
    pub(crate) decoder: Decoder,
    pub(crate) session_present: bool,
    pub(crate) limits: Limits,
}

/// Why there is no connection.
pub(crate) enum LinkError {
    /// A later attempt may succeed.
    Again(String),
    /// It will not.
    Never(SimError),
}

/// Connects for the first time in this process: what an earlier one left in the session is discarded, because
/// the server may hold identifiers of its QoS 2 publishes and would take ours for repetitions.
pub(crate) async fn open_fresh(target: &Target, id: &str) -> Result<Link, LinkError> {
    // A clean session of 3.1.1 ends with its connection, so it must not be the one that we go on with.
    let mut link = open(target, id, target.mqtt == Mqtt::V5).await?;
    if link.session_present {
        close(link).await;
        close(open(target, id, true).await?).await;
        link = open(target, id, false).await?;
    }
    Ok(link)
}

/// Connects; `clean` discards the session.
pub(crate) async fn open(target: &Target, id: &str, clean: bool) -> Result<Link, LinkError> {
    match timeout(Duration::from_secs(CONNECT_SECS), handshake(target, id, clean)).await {
        Ok(result) => result,
        Err(_) => Err(LinkError::Again(format!("no answer within {CONNECT_SECS} s"))),
    }
}

async fn handshake(target: &Target, id: &str, clean: bool) -> Result<Link, LinkError> {
    let again = |error: std::io::Error| LinkError::Again(error.to_string());
    let never = |reason: String| {
        LinkError::Never(SimError::Broker {
            broker: target.broker.to_string(),
            client: id.to_owned(),
            reason,
        })
    };
    let connect = codec::connect(target, id, clean).map_err(|error| never(error.to_string()))?;
    let address = (target.broker.host.as_str(), target.broker.port);
    let mut stream = TcpStream::connect(address).await.map_err(again)?;
    stream.set_nodelay(true).map_err(again)?;
    stream.write_all(&connect).await.map_err(again)?;

    let mut decoder = Decoder::new(target.mqtt);
    // Byte by byte would do: nothing can follow CONNACK before we publish, except a DISCONNECT.
    let mut buffer = [0; 1024];
    loop {
        let length = stream.read(&mut buffer).await.map_err(again)?;
        let received = buffer.get(..length).unwrap_or_default();
        if received.is_empty() {
            return Err(LinkError::Again("the server closed the connection without a CONNACK".into()));
        }
        match decoder.next(&mut Cursor::new(received)) {
            Ok(None) => {}
            Ok(Some(Incoming::Accepted { session_present, limits })) => {
                if limits.qos_max < qos_level(target.qos) {
                    return Err(never(format!("it takes QoS {0} at most: use --qos {0}", limits.qos_max)));
                }
                return Ok(Link { stream, decoder, session_present, limits });
            }
            Ok(Some(Incoming::Refused { reason, again: true })) => return Err(LinkError::Again(reason)),
            Ok(Some(Incoming::Refused { reason, again: false })) => {
                return Err(never(format!("{reason}{}", way_out(&reason))));
            }
            Ok(Some(_)) => return Err(LinkError::Again("the server sent no CONNACK first".into())),
            Err(error) => return Err(never(format!("its answer to CONNECT is no MQTT: {error}"))),
        }
    }
}

async fn close(mut link: Link) {
    // The server learns it from the closed socket anyway.
    let _ = link.stream.write_all(&codec::disconnect()).await;
    let _ = link.stream.shutdown().await;
}

fn qos_level(qos: Qos) -> u8 {
    match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
    }
}

fn way_out(reason: &str) -> &'static str {
    match reason {
        "UnacceptableProtocolVersion" | "UnsupportedProtocolVersion" => {
            ": use the other protocol version with --mqtt"
        }
        "BadUserNameOrPassword" | "NotAuthorized" => {
            ": put the credentials into the address, mqtt://user:password@host:port"
        }
        _ => "",
    }
}
