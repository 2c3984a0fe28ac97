//! TLS, and secrets that nobody sees.

use std::{fs, io::Write, net::TcpStream, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::ring, pki_types::PrivateKeyDer};
use tests::{Child, Site, Webhook, WebhookStream};

use super::{always, publish, site, stop, topology_with};

/// An authority of our own, as PEM, and what a server of the site needs that it has signed.
fn signed(site: &Site) -> (String, Arc<ServerConfig>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);

    let key = KeyPair::generate().unwrap();
    let name = site.webhook(0).ip().to_string();
    let certificate = CertificateParams::new([name]).unwrap().signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::from(key))
        .unwrap();
    (authority, Arc::new(config))
}

fn tls(config: Arc<ServerConfig>) -> impl Fn(TcpStream) -> Box<dyn WebhookStream> {
    move |stream| {
        let session = ServerConnection::new(Arc::clone(&config)).unwrap();
        Box::new(StreamOwned::new(session, stream))
    }
}

#[test]
fn a_receiver_with_a_certificate_of_its_own_is_trusted_by_whoever_is_told_to() {
    let site = site(|site| {
        let address = site.webhook(0);
        topology_with(
            &format!(
                "[{{ name: trusting, url: 'https://{address}', ca_file: ca.pem }},
                  {{ name: wary, url: 'https://{address}', ca_file: other.pem }}]"
            ),
            "",
        )
    });
    let (authority, server) = signed(&site);
    fs::write(site.path("ca.pem"), authority).unwrap();
    fs::write(site.path("other.pem"), signed(&site).0).unwrap();
    let webhook = Webhook::start_wrapped(site.webhook(0), tls(server), always(200));
    let up = site.up();
    publish(&site, 0..3, 0, 90.0);
    webhook.until_taken(3);
    let said = up.says("a webhook does not take an alert");
    assert!(said.contains("wary") && said.contains("certificate"), "{said}");
    assert_eq!(webhook.posts().len(), 3);
    stop(up);
}

#[test]
fn secrets_are_sent_and_never_shown() {
    let site = site(|site| {
        let (there, gone) = (site.webhook(0), site.webhook(1));
        topology_with(
            &format!(
                "[{{ name: there, url: {{ file: url }}, authorization: {{ file: token }},
                     headers: {{ X-Key: {{ env: MILLSTREAM_TEST_KEY }}, X-Team: ovens }} }},
                  {{ name: user, url: 'http://me:swordfish@{there}/swordfish?key=swordfish' }},
                  {{ name: gone, url: 'http://me:swordfish@{gone}/swordfish?key=swordfish',
                     attempts_max: 1, authorization: {{ file: token }} }}]"
            ),
            "",
        )
    });
    fs::write(site.path("token"), "Bearer swordfish\n").unwrap();
    fs::write(site.path("url"), format!("http://{}/swordfish\n", site.webhook(0))).unwrap();
    let webhook = Webhook::start(site.webhook(0), always(200));
    let mut command = site.up_command();
    command.env("MILLSTREAM_TEST_KEY", "swordfish").env("MILLSTREAM_LOG", "debug");
    let up = Child::start(command);
    up.says("listening on mqtt://");
    publish(&site, 0..1, 0, 90.0);
    webhook.until_taken(2);
    let said = up.says("it is now a dead letter");
    assert!(said.contains(&format!("cannot connect to http://{}", site.webhook(1))), "{said}");
    let shown = stop(up).join("\n");
    assert!(!shown.contains("swordfish") && !shown.contains("c3dvcmRmaXNo"), "{shown}");

    let mut posts = webhook.posts();
    posts.sort_by_key(|post| post.headers["authorization"].clone());
    assert_eq!(posts[0].headers["authorization"], "Basic bWU6c3dvcmRmaXNo", "me:swordfish");
    assert_eq!(posts[1].headers["authorization"], "Bearer swordfish");
    assert_eq!((&*posts[1].headers["x-key"], &*posts[1].headers["x-team"]), ("swordfish", "ovens"));
}

#[test]
fn a_secret_that_is_not_there_is_named_at_the_start() {
    let site = site(|site| {
        let address = site.webhook(0);
        topology_with(
            &format!("[{{ name: ops, url: 'http://{address}', authorization: {{ file: token }} }}]"),
            "",
        )
    });
    let refused = |text: &str| {
        let ended = Child::start(site.up_command()).ended().with(1);
        assert!(ended.err.iter().any(|line| line.contains(text)), "{ended:?}");
        assert!(!ended.err.iter().any(|line| line.contains("swordfish")), "{ended:?}");
    };
    refused("webhook ops: cannot read the secret in");
    let mut token = fs::File::create(site.path("token")).unwrap();
    token.write_all(b"swordfish\x01\n").unwrap();
    refused("webhook ops: the header authorization or its value cannot be sent");
}
