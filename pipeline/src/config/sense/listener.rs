//! Whether the listener's doors are as safe as they look, and its files can be used.

use std::path::Path;

use crate::{
    config::{finding::Finding, options::listener_options, prune::Pruned, topology::ListenerConfig},
    ingest::{Door, ListenerOptions, TlsError, UserList, UsersError},
};

/// Where the listener stands in a topology.
const LISTENER: &str = "/ingest/listener";

/// Checks a listener whose paths start from `folder`.
///
/// A file that cannot be read is only a warning: a topology may be checked, and other parts of it run, where the
/// listener's files are not.
pub(super) fn check(
    listener: &ListenerConfig,
    file: &Pruned,
    folder: &Path,
    mistakes: &mut Vec<Finding>,
    warnings: &mut Vec<Finding>,
) {
    let options = listener_options(listener, folder);
    doors(&options, file, mistakes, warnings);
    let of_value = |key: &str, text: String| Finding::of_value(&format!("{LISTENER}/{key}"), text);
    if let Some(tls) = &options.tls {
        match tls.load() {
            Ok(_) => {}
            Err(error @ TlsError::Unreadable { .. }) => {
                warnings.push(of_value(&format!("tls/{}", error.key()), error.to_string()));
            }
            Err(error) => mistakes.push(of_value(&format!("tls/{}", error.key()), error.to_string())),
        }
    }
    if let Some(users) = &options.users_file {
        match UserList::read(users) {
            Ok(_) => {}
            Err(error @ UsersError::Unreadable { .. }) => {
                let text = format!("{error}; `millstream passwd` makes it");
                warnings.push(of_value("users_file", text));
            }
            Err(error) => mistakes.push(of_value("users_file", error.to_string())),
        }
    }
}

fn doors(options: &ListenerOptions, file: &Pruned, mistakes: &mut Vec<Finding>, warnings: &mut Vec<Finding>) {
    // What these say decides over all doors.
    let lost = |key: &str| file.lost(&format!("{LISTENER}/{key}"));
    let (no_leave, no_tls) = (["allow_anonymous", "users_file", "tls"].into_iter().any(lost), lost("tls"));
    let doors = options.doors();
    for door in &doors {
        let pointer = format!("{LISTENER}/{}", door.scheme.key());
        if let Some(text) = exposed(options, *door).filter(|_| !no_leave) {
            mistakes.push(Finding::of_value(&pointer, text));
        }
        if door.scheme.is_tls() && options.tls.is_none() && !no_tls {
            let text = "TLS needs a certificate; set tls.cert_file and tls.key_file beside it".to_owned();
            mistakes.push(Finding::of_value(&pointer, text));
        }
        let overheard = !door.scheme.is_tls() && !door.address.ip().is_loopback();
        if overheard && options.users_file.is_some() {
            let text =
                "passwords can be read on the way here; use listen_tls where the network is not trusted";
            warnings.push(Finding::of_value(&pointer, text.to_owned()));
        }
    }
    if doors.is_empty() && !lost("listen_tls") && !lost("listen_websocket") && !lost("listen_websocket_tls") {
        let text = "no other address is set either, so no device can connect".to_owned();
        warnings.push(Finding::of_value(&format!("{LISTENER}/listen"), text));
    }
    if options.tls.is_some() && !doors.iter().any(|door| door.scheme.is_tls()) {
        let text = "is for listen_tls and listen_websocket_tls, and neither is set".to_owned();
        warnings.push(Finding::of_key(&format!("{LISTENER}/tls"), text));
    }
}

/// What is wrong when other machines could publish without anybody's leave.
pub(in crate::config) fn exposed(options: &ListenerOptions, door: Door) -> Option<String> {
    let ways_out = if door.scheme.is_tls() { "users_file or tls.client_ca_file" } else { "users_file" };
    options.is_exposed(door).then(|| {
        format!(
            "{} can be reached from other machines, and anyone there could publish; \
             listen on 127.0.0.1, set {ways_out}, or set allow_anonymous: true",
            door.address
        )
    })
}
