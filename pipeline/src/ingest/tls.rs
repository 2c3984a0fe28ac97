//! The certificates of the listener.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{Error as PemError, PemObject},
    },
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

/// Where the certificates are that the listener shows and asks for, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// The certificate of the listener, then those that lead to its CA.
    pub cert_file: PathBuf,
    /// The private key of the first certificate (PKCS #8, PKCS #1 or SEC 1), not encrypted.
    pub key_file: PathBuf,
    /// The CAs of which a client must show a certificate; without it, none is asked for.
    pub client_ca_file: Option<PathBuf>,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Which of [`TlsOptions`] names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} {what}", path.display())]
    Content {
        /// Which of [`TlsOptions`] names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl TlsError {
    /// Which of [`TlsOptions`] is to be put right.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Unreadable { key, .. } | Self::Content { key, .. } => key,
        }
    }
}

impl TlsOptions {
    /// Reads the files.
    ///
    /// # Errors
    /// Which of them is missing, or no good, and why.
    pub fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let certificates = certificates("cert_file", &self.cert_file)?;
        let key = private_key("key_file", &self.key_file)?;
        let provider = Arc::new(ring::default_provider());
        let cert_file = self.cert_file.display();
        let unusable = |error| {
            let what = match error {
                rustls::Error::InconsistentKeys(_) => format!("is not the private key of {cert_file}"),
                error => format!("cannot be used with {cert_file}: {error}"),
            };
            content("key_file", &self.key_file, what)
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(unusable)?;
        let builder = match &self.client_ca_file {
            None => builder.with_no_client_auth(),
            Some(path) => builder.with_client_cert_verifier(verifier("client_ca_file", path, provider)?),
        };
        builder.with_single_cert(certificates, key).map(Arc::new).map_err(unusable)
    }
}

/// What checks that a client's certificate is one of the CAs in a file.
fn verifier(
    key: &'static str,
    path: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(key, path)? {
        let added = roots.add(certificate);
        added.map_err(|error| content(key, path, format!("has a certificate that is no CA's: {error}")))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map_err(|error| content(key, path, format!("cannot be used: {error}")))
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(key, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(content(key, path, "has no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned()))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(content(key, path, format!("is no good PEM: {error}"))),
    }
}

fn private_key(key: &'static str, path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(key, path)?).map_err(|error| {
        let what = match error {
            PemError::NoItemsFound => {
                "has no private key in PEM (-----BEGIN PRIVATE KEY-----); an encrypted one is not taken"
                    .to_owned()
            }
            error => format!("is no good PEM: {error}"),
        };
        content(key, path, what)
    })
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Unreadable { key, path: path.to_owned(), source })
}

fn content(key: &'static str, path: &Path, what: String) -> TlsError {
    TlsError::Content { key, path: path.to_owned(), what }
}
