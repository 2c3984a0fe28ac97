//! The part `ingest.subscriber` of the topology.

use std::path::{Path, PathBuf};

use rumqttc::valid_filter;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use stages::topic::Topics;

use super::{
    finding::Finding,
    options::secs,
    secret::{Secret, SecretText},
};
use crate::ingest::{Broker, MqttVersion, SubscriberOptions, TlsFiles, filters};

/// Where its keys are.
const POINTER: &str = "/ingest/subscriber";

/// A client of a broker: messages come from there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SubscriberConfig {
    /// `mqtt://`, `mqtts://`, `ws://` or `wss://`, the host, and the port where it is another than 1883, 8883, 80 and
    /// 443. WebSockets have a path, `/mqtt` if none is given.
    pub broker: String,
    /// The topic filters to subscribe to. None means those of the patterns of `topics`.
    pub topics: Vec<String>,
    /// Subscribers of one group share the messages: each goes to one of them. Without it, each gets every message,
    /// and one is enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The version of MQTT.
    pub version: Version,
    /// 1 for messages that must not be lost; 0 where that does not matter.
    #[schemars(range(max = 2))]
    pub qos: u8,
    /// Whose session it is: it must be the same after a restart, and another for each process. `{host}` is the name of
    /// this machine, `{worker}` what the command line says after `--worker`, `1` by default. Connections from the
    /// second on add their number.
    #[schemars(length(min = 1))]
    pub client_id: String,
    /// How many connections share the messages within this process; more than one needs a `group`.
    #[schemars(range(min = 1, max = 64))]
    pub connections: u8,
    /// The user name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// Who is trusted, and who we are, with `mqtts://` and `wss://`.
    pub tls: SubscriberTls,
    /// How often there is a sign of life, in seconds.
    #[schemars(range(min = 5, max = 65_535))]
    pub keep_alive_secs: u16,
    /// How long the broker is to keep the session while we are away, in seconds (MQTT 5).
    pub session_expiry_secs: u32,
    /// How many messages of a connection may wait for their acknowledgement. A broker that speaks MQTT 5 is told.
    #[schemars(range(min = 1))]
    pub receive_maximum: u16,
    /// How many unacknowledged messages the broker sends at least before it waits: with so many, frames are not kept
    /// open for more. Too many cost the linger each time, too few make small frames.
    #[schemars(range(min = 1))]
    pub inflight_max: u16,
    /// The largest MQTT packet taken, in bytes. Default: 1048576; with `engine: sqs` 704512.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 256, max = 268_435_455))]
    pub packet_bytes_max: Option<u32>,
    /// How many seconds it may take to connect.
    #[schemars(range(min = 1, max = 3600))]
    pub connect_secs: u32,
    /// The pause before a lost connection is tried for the second time, in seconds; each further one is twice as long.
    #[schemars(range(min = 1, max = 3600))]
    pub reconnect_secs: u32,
    /// Up to how many seconds that pause grows.
    #[schemars(range(min = 1, max = 86_400))]
    pub reconnect_secs_max: u32,
}

impl Default for SubscriberConfig {
    fn default() -> Self {
        Self {
            broker: "mqtt://127.0.0.1:1883".into(),
            topics: Vec::new(),
            group: None,
            version: Version(MqttVersion::V5),
            qos: 1,
            client_id: "millstream-{host}-{worker}".into(),
            connections: 1,
            username: None,
            password: None,
            tls: SubscriberTls::default(),
            keep_alive_secs: 30,
            session_expiry_secs: 604_800,
            receive_maximum: 1000,
            inflight_max: 10,
            packet_bytes_max: None,
            connect_secs: 10,
            reconnect_secs: 1,
            reconnect_secs_max: 60,
        }
    }
}

/// How a connection is encrypted. Files are PEM, their paths relative to the folder of the topology file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SubscriberTls {
    /// The authorities to trust. Default: those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The certificate to show, with those between it and its authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// The key of that certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Protocols to offer (ALPN): AWS IoT Core wants `x-amzn-mqtt-ca` on port 443.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<String>,
}

/// 5 or "3.1.1".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value", into = "serde_json::Value")]
pub struct Version(pub MqttVersion);

impl From<Version> for serde_json::Value {
    fn from(version: Version) -> Self {
        match version.0 {
            MqttVersion::V5 => 5.into(),
            MqttVersion::V3_1_1 => "3.1.1".into(),
        }
    }
}

impl TryFrom<serde_json::Value> for Version {
    type Error = &'static str;

    fn try_from(value: serde_json::Value) -> Result<Self, &'static str> {
        let known = [Self(MqttVersion::V5), Self(MqttVersion::V3_1_1)];
        known.into_iter().find(|known| serde_json::Value::from(*known) == value).ok_or("5 or \"3.1.1\"")
    }
}

impl JsonSchema for Version {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [{ "type": "integer", "minimum": 5, "maximum": 5 }, { "const": "3.1.1" }] })
    }
}

impl SubscriberConfig {
    /// What cannot be carried out.
    pub(super) fn mistakes(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut mistake = |key: &str, text: String| {
            found.push(Finding::of_value(&format!("{POINTER}/{key}"), text));
        };
        let broker = self.broker.parse::<Broker>();
        if let Err(text) = &broker {
            mistake("broker", text.clone());
        }
        for (index, topic) in self.topics.iter().enumerate() {
            if !valid_filter(topic) || topic.contains('\0') {
                mistake(
                    &format!("topics/{index}"),
                    format!("{topic:?} is no topic filter; `+` is a whole level, `#` the last"),
                );
            } else if self.group.is_some() && topic.starts_with("$share/") {
                let text = format!("{topic:?} names a group, and group does, too; write the topic alone");
                mistake(&format!("topics/{index}"), text);
            }
        }
        if let Some(group) = &self.group
            && (group.is_empty() || group.contains(['/', '+', '#', '\0']))
        {
            mistake("group", format!("{group:?} cannot name a group; leave out / + # and NUL"));
        }
        if self.group.is_none() && self.connections > 1 {
            mistake("connections", "needs the key group, or each would get every message".to_owned());
        }
        if self.qos == 2 {
            let text = "2 is not offered, since it cannot be taken up again after a lost connection; \
                        use 1: repeats are dropped by analyze";
            mistake("qos", text.to_owned());
        }
        if self.password.is_some() && self.username.is_none() {
            mistake("password", "needs the key username beside it".to_owned());
        }
        let tls = &self.tls;
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            mistake("tls", "needs both cert_file and key_file, or none of them".to_owned());
        }
        if *tls != SubscriberTls::default() && broker.is_ok_and(|broker| !broker.is_tls()) {
            let text = format!(
                "has no use, since {} is not encrypted; write mqtts:// or wss:// there, or leave it out",
                self.broker
            );
            mistake("tls", text);
        }
        if self.reconnect_secs > self.reconnect_secs_max {
            let text =
                format!("{} is less than reconnect_secs ({})", self.reconnect_secs_max, self.reconnect_secs);
            mistake("reconnect_secs_max", text);
        }
        found
    }

    /// Files and variables that cannot be read here, where a topology may only be checked.
    pub(super) fn warnings(&self, folder: &Path) -> Vec<Finding> {
        let mut found = Vec::new();
        if let Some(password) = &self.password {
            found.extend(password.warning(&format!("{POINTER}/password"), folder));
        }
        let tls = &self.tls;
        for (key, file) in
            [("ca_file", &tls.ca_file), ("cert_file", &tls.cert_file), ("key_file", &tls.key_file)]
        {
            if let Some(path) = file.as_ref().map(|file| folder.join(file))
                && let Err(error) = std::fs::metadata(&path)
            {
                let text = format!("cannot read {}: {error}", path.display());
                found.push(Finding::of_value(&format!("{POINTER}/tls/{key}"), text));
            }
        }
        found
    }

    /// What the subscriber is to do; `worker` and `host` name this process among others.
    ///
    /// # Errors
    /// What is wrong with which file or variable.
    pub(super) fn options(
        &self,
        folder: &Path,
        topics: &Topics,
        host: &str,
        worker: &str,
        packet_bytes_max: u32,
    ) -> Result<SubscriberOptions, String> {
        let broker: Broker = self.broker.parse()?;
        let own = || topics.patterns().iter().map(|pattern| pattern.filter()).collect();
        let topics = if self.topics.is_empty() { own() } else { self.topics.clone() };
        let client_id = self.client_id.replace("{host}", host).replace("{worker}", worker);
        let others = (2..=self.connections).map(|number| format!("{client_id}-{number}"));
        let password: Option<SecretText> =
            self.password.as_ref().map(|password| password.read(folder)).transpose()?;
        let tls = broker.is_tls().then(|| self.tls.files(folder).read()).transpose()?;
        Ok(SubscriberOptions {
            broker,
            version: self.version.0,
            filters: filters(&topics, self.group.as_deref()),
            acknowledged: self.qos > 0,
            client_ids: [client_id.clone()].into_iter().chain(others).collect(),
            credentials: self.username.clone().map(|username| (username, password)),
            tls,
            keep_alive: secs(self.keep_alive_secs.into()),
            session_expiry_secs: self.session_expiry_secs,
            receive_maximum: self.receive_maximum,
            inflight_max: self.inflight_max,
            packet_bytes_max,
            connect_timeout: secs(self.connect_secs),
            pause_min: secs(self.reconnect_secs),
            pause_max: secs(self.reconnect_secs_max),
        })
    }
}

impl SubscriberTls {
    fn files(&self, folder: &Path) -> TlsFiles {
        let identity = self.cert_file.as_ref().zip(self.key_file.as_ref());
        TlsFiles {
            ca: self.ca_file.as_ref().map(|file| folder.join(file)),
            identity: identity.map(|(cert, key)| (folder.join(cert), folder.join(key))),
            alpn: self.alpn.clone(),
        }
    }
}
