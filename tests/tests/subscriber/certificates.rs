use std::{fs, net::IpAddr};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tests::Mosquitto;

/// Puts an authority (`ca.pem`) and the certificates and keys of the broker (`broker.pem`, `broker.key`, for `ip`) and of
/// us (`us.pem`, `us.key`) into the broker's directory.
pub(crate) fn certificates(broker: &Mosquitto, ip: IpAddr) {
    let named = |names: &[String], common: &str| {
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common);
        params
    };
    let mut authority = named(&[], "authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    fs::write(broker.path("ca.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(authority, key);
    for (name, names) in [("broker", vec![ip.to_string()]), ("us", Vec::new())] {
        let key = KeyPair::generate().unwrap();
        let certificate = named(&names, name).signed_by(&key, &issuer).unwrap();
        fs::write(broker.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(broker.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}
