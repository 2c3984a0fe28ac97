//! The parts of the listener's config that have a shape of their own.

use std::{fmt, net::SocketAddr, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ADDRESS;

/// Where to listen, or that there is no listening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Listen {
    /// An address and port.
    At(#[schemars(extend("format" = ADDRESS))] SocketAddr),
    /// Nowhere.
    Not(Off),
}

/// The word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Off {
    /// Nowhere.
    Off,
}

impl Listen {
    /// The address, if there is one.
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::At(address) => Some(address),
            Self::Not(Off::Off) => None,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => address.fmt(f),
            Self::Not(Off::Off) => f.write_str("off"),
        }
    }
}

/// The certificates for TLS, as PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate of this endpoint, then those that lead to its CA.
    pub cert_file: PathBuf,
    /// The private key of that certificate, not encrypted.
    pub key_file: PathBuf,
    /// CAs: clients must then show a certificate of one of them, and need no password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<PathBuf>,
}
