//! The bytes of a connection, in the clear or by TLS, without ever waiting.

use std::{io, sync::Arc};

use rustls::{ServerConfig, ServerConnection};
use tokio::net::TcpStream;

/// How often one read turns to the socket before others get their turn: a peer may send what is no data for us.
const ROUNDS_MAX: usize = 64;

/// A socket; reading and writing answer [`io::ErrorKind::WouldBlock`] when there is nothing to do now.
pub(super) enum Stream {
    /// As they come.
    Plain(TcpStream),
    /// By TLS.
    Tls(Box<Tls>),
}

/// A socket and the state of its TLS.
pub(super) struct Tls {
    socket: TcpStream,
    session: ServerConnection,
    /// Bytes that are decrypted and not read yet.
    ready: usize,
}

/// What [`rustls`] reads from and writes to.
struct Raw<'a>(&'a TcpStream);

impl Stream {
    /// Begins a session of TLS on `socket`; the handshake is part of the first reads and writes.
    pub(super) fn tls(socket: TcpStream, config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        let session = ServerConnection::new(config)?;
        Ok(Self::Tls(Box::new(Tls { socket, session, ready: 0 })))
    }

    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &tls.socket,
        }
    }

    pub(super) fn socket_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &mut tls.socket,
        }
    }

    /// Whether the peer has shown a certificate, which then was one of our client CA.
    pub(super) fn is_certified(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.session.peer_certificates().is_some(),
        }
    }

    /// Whether there is something to read, whatever the socket says.
    pub(super) fn has_more(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.ready > 0,
        }
    }

    /// Whether [`io::Write::flush`] has something to do.
    pub(super) fn wants_write(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.session.wants_write(),
        }
    }

    /// Says that nothing will follow, where there is a word for that; to be flushed.
    pub(super) fn end(&mut self) {
        if let Self::Tls(tls) = self {
            tls.session.send_close_notify();
        }
    }
}

impl io::Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.send(),
        }
    }
}

impl Tls {
    /// Reads what there is, up to a full buffer; a peer that hangs up without a word of TLS has hung up all the same:
    /// MQTT tells by itself whether a packet is whole.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        for _ in 0..ROUNDS_MAX {
            match io::Read::read(&mut self.session.reader(), &mut buffer[count..]) {
                Ok(0) => return Ok(count),
                Ok(read) => {
                    count += read;
                    self.ready = self.ready.saturating_sub(read);
                    if count == buffer.len() {
                        return Ok(count);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self.receive() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    received => received?,
                },
                Err(error) => return Err(error),
            }
        }
        if count > 0 { Ok(count) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    /// Takes bytes from the socket, and answers those that are about TLS itself.
    fn receive(&mut self) -> io::Result<()> {
        self.session.read_tls(&mut Raw(&self.socket))?;
        let processed = self.session.process_new_packets();
        // Also when that failed: the peer is told why.
        match self.send() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        let state = processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, explain(&error)))?;
        self.ready = state.plaintext_bytes_to_read();
        Ok(())
    }

    /// Takes bytes only when those before have left, so that few wait here.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send()?;
        let count = io::Write::write(&mut self.session.writer(), bytes)?;
        match self.send() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ if count == 0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(count),
        }
    }

    fn send(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut Raw(&self.socket))?;
        }
        Ok(())
    }
}

/// What a failure of TLS means for whoever set up the peer.
fn explain(error: &rustls::Error) -> String {
    use rustls::{AlertDescription as Alert, CertificateError, Error};
    match error {
        Error::InvalidMessage(_) => format!("it does not speak TLS ({error})"),
        Error::NoCertificatesPresented => "it shows no certificate".to_owned(),
        // Certificates without extensions are of version 1, which the verifier does not take.
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            format!("its certificate is not taken: {other}; it must be one of X.509 version 3")
        }
        Error::InvalidCertificate(why) => format!("its certificate is not taken: {why}"),
        Error::AlertReceived(Alert::UnknownCA | Alert::BadCertificate | Alert::CertificateUnknown) => {
            format!("it does not trust our certificate ({error})")
        }
        error => format!("TLS: {error}"),
    }
}

impl io::Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl io::Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
