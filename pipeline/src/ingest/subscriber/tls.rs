//! What a connection is encrypted with, from PEM files.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// Who is trusted, and who we are. Absolute paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// Certificates of authorities; without it, those of the system.
    pub(crate) ca: Option<PathBuf>,
    /// Our certificate with those between it and its authority, and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    /// Protocols to offer, the preferred first.
    pub(crate) alpn: Vec<String>,
}

impl TlsFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub(crate) fn read(&self) -> Result<Arc<ClientConfig>, String> {
        let roots = match &self.ca {
            Some(file) => roots(certificates(file)?, &file.display().to_string())?,
            None => {
                let system = rustls_native_certs::load_native_certs();
                let mistakes: Vec<_> = system.errors.iter().map(ToString::to_string).collect();
                roots(system.certs, "the certificate store of the system").map_err(|error| {
                    format!("{error} {}; name a ca_file", mistakes.join(", ")).replace(" ;", ";")
                })?
            }
        };
        let unusable = |error: rustls::Error| format!("TLS cannot be set up: {error}");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let secret = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| format!("cannot read a key from {}: {error}", key.display()))?;
                builder.with_client_auth_cert(certificates(cert)?, secret).map_err(|error| {
                    format!("{} and {} do not fit together: {error}", cert.display(), key.display())
                })?
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |error| format!("cannot read certificates from {}: {error}", file.display());
    let certificates = CertificateDer::pem_file_iter(file).map_err(unreadable)?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(unreadable)?;
    if certificates.is_empty() {
        return Err(format!("there is no certificate in {}; it must be PEM", file.display()));
    }
    Ok(certificates)
}

/// Those that can be used: some stores of systems have others, too.
fn roots(certificates: Vec<CertificateDer<'static>>, place: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() { Err(format!("no usable authority in {place}")) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let gone = folder.path().join("gone.pem");
        let empty = file("empty.pem", "nothing\n");
        let ca = |path: &Path| TlsFiles { ca: Some(path.to_owned()), ..TlsFiles::default() };
        for (files, said) in [
            (ca(&gone), "cannot read certificates from"),
            (ca(&empty), "there is no certificate in"),
            (
                TlsFiles { identity: Some((empty.clone(), gone.clone())), ..TlsFiles::default() },
                "cannot read a key from",
            ),
        ] {
            let error = files.read().unwrap_err();
            assert!(error.contains(said) && error.contains(".pem"), "{error}");
        }
    }
}
