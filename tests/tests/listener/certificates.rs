//! A CA of a test's own, and what it signs.

use std::{fs, path::PathBuf, sync::Arc};

use millstream::ingest::TlsOptions;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{PrivateKeyDer, ServerName},
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate of a client and its key.
pub(crate) struct Identity {
    pub(crate) cert_pem: String,
    pub(crate) key: KeyPair,
    cert: rcgen::Certificate,
}

impl Authority {
    pub(crate) fn new() -> Self {
        // What this process uses where nobody says what; another test may have been first.
        let _chosen = rustls::crypto::ring::default_provider().install_default();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let folder = tempfile::tempdir().unwrap();
        // No two have the same name: clients look for the one that signed by that.
        params.distinguished_name.push(DnType::CommonName, folder.path().display().to_string());
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { issuer, folder };
        let server = authority.sign(&["localhost", "127.0.0.1"]);
        for (name, text) in [
            ("ca.pem", authority.pem()),
            ("server.pem", server.cert_pem),
            ("server.key", server.key.serialize_pem()),
        ] {
            fs::write(authority.path(name), text).unwrap();
        }
        authority
    }

    /// What the listener needs; with `asks`, clients must show a certificate of this CA.
    pub(crate) fn options(&self, asks: bool) -> TlsOptions {
        TlsOptions {
            cert_file: self.path("server.pem"),
            key_file: self.path("server.key"),
            client_ca_file: asks.then(|| self.path("ca.pem")),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The certificate of the CA.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn sign(&self, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.distinguished_name.push(DnType::CommonName, names.concat());
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Identity { cert_pem: cert.pem(), key, cert }
    }

    /// A client that trusts this CA, and has said nothing yet.
    pub(crate) async fn dial(
        &self,
        socket: TcpStream,
        identity: Option<&Identity>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
                config.with_client_auth_cert(vec![identity.cert.der().clone()], key).unwrap()
            }
        };
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, socket).await
    }
}
