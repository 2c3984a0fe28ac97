//! What a CONNECT asks for, whichever version of MQTT it speaks, and the CONNACK that answers it.

use std::time::Duration;

use mqtt_protocol_core::mqtt::{
    packet::{
        AssignedClientIdentifier, MaximumPacketSize, Property, ReceiveMaximum, SessionExpiryInterval,
        SharedSubscriptionAvailable, SubscriptionIdentifierAvailable, TopicAliasMaximum,
        WildcardSubscriptionAvailable, v3_1_1, v5_0,
    },
    result_code::{ConnectReasonCode, ConnectReturnCode, MqttError},
};
use stages::frame::Properties;

use super::{
    listener::{ListenerOptions, Shared},
    users::Stranger,
};

/// How long a client id may be. MQTT lets a server choose, from 23 on (5.0, 3.1.3.1).
const CLIENT_ID_BYTES_MAX: usize = 1024;

/// How many topic aliases a client may set up.
const TOPIC_ALIASES: u16 = 32;

/// Who a CONNECT says it is.
pub(super) struct Login<'a> {
    pub(super) user: Option<&'a str>,
    pub(super) password: Option<&'a [u8]>,
}

/// Why a client is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("there is no such user")]
    User,
    #[error("the password is another")]
    Password,
    #[error("it gives no user name")]
    Anonymous,
}

impl Login<'_> {
    /// Checks a user name where there are users; who gives none must be certified, or allowed to be anonymous.
    ///
    /// # Errors
    /// Why it is not let in.
    pub(super) async fn check(&self, shared: &Shared, is_certified: bool) -> Result<(), Refusal> {
        match (&shared.users, self.user) {
            (None, _) => Ok(()),
            (Some(_), None) if is_certified || shared.options.allow_anonymous => Ok(()),
            (Some(_), None) => Err(Refusal::Anonymous),
            (Some(users), Some(user)) => {
                let checked = users.check(user, self.password.unwrap_or_default()).await;
                checked.map_err(|stranger| match stranger {
                    Stranger::User => Refusal::User,
                    Stranger::Password => Refusal::Password,
                })
            }
        }
    }
}

/// MQTT 3.1.1, 3.2.2.3. Whether it is the name or the password that is wrong is nobody's business.
impl From<Refusal> for ConnectReturnCode {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::User | Refusal::Password => Self::BadUserNameOrPassword,
            Refusal::Anonymous => Self::NotAuthorized,
        }
    }
}

/// MQTT 5.0, 3.2.2.2.
impl From<Refusal> for ConnectReasonCode {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::User | Refusal::Password => Self::BadUserNameOrPassword,
            Refusal::Anonymous => Self::NotAuthorized,
        }
    }
}

/// A CONNECT, as far as this endpoint cares, once it is known who it is.
#[derive(Debug)]
pub(super) struct Hello {
    pub(super) client_id: String,
    /// Whether the client left the choice of its id to us.
    pub(super) anonymous: bool,
    /// Whether a session from before is to be forgotten.
    pub(super) clean: bool,
    /// How long the session outlives the connection, in seconds, as we grant it.
    pub(super) expiry_secs: u32,
    /// What the client asked for, where that is more.
    expiry_capped: bool,
    /// How long the client may be silent: one and a half times its keep-alive.
    pub(super) silence_max: Option<Duration>,
    pub(super) will: Option<Will>,
    /// Whether the client wants to be told reasons as text.
    pub(super) reasons: bool,
}

/// The message that a client leaves for the case that it vanishes; it is published at once, whatever
/// will delay (MQTT 5) was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Will {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) properties: Properties,
}

impl Hello {
    /// # Errors
    /// The return code to refuse it with.
    pub(super) fn of_v3(
        connect: &v3_1_1::Connect,
        options: &ListenerOptions,
    ) -> Result<Self, ConnectReturnCode> {
        let anonymous = connect.client_id().is_empty();
        if connect.client_id().len() > CLIENT_ID_BYTES_MAX || (anonymous && !connect.clean_session()) {
            return Err(ConnectReturnCode::IdentifierRejected);
        }
        let will = connect.will_topic().map(|topic| Will {
            topic: topic.to_owned(),
            payload: connect.will_payload().unwrap_or_default().to_vec(),
            properties: Properties::new(),
        });
        Ok(Self {
            client_id: connect.client_id().to_owned(),
            anonymous,
            clean: connect.clean_session(),
            expiry_secs: if connect.clean_session() { 0 } else { options.session_expiry_secs_max },
            expiry_capped: false,
            silence_max: silence_max(connect.keep_alive()),
            will,
            reasons: false,
        })
    }

    /// # Errors
    /// The reason code to refuse it with.
    pub(super) fn of_v5(
        connect: &v5_0::Connect,
        options: &ListenerOptions,
    ) -> Result<Self, ConnectReasonCode> {
        if connect.client_id().len() > CLIENT_ID_BYTES_MAX {
            return Err(ConnectReasonCode::ClientIdentifierNotValid);
        }
        let (mut expiry_secs, mut reasons) = (0, true);
        for property in connect.props() {
            match property {
                Property::SessionExpiryInterval(property) => expiry_secs = property.val(),
                Property::RequestProblemInformation(property) => reasons = property.val() != 0,
                Property::AuthenticationMethod(_) => return Err(ConnectReasonCode::BadAuthenticationMethod),
                _ => {}
            }
        }
        let will = connect.will_topic().map(|topic| Will {
            topic: topic.to_owned(),
            payload: connect.will_payload().unwrap_or_default().to_vec(),
            properties: kept_properties(connect.will_props()),
        });
        Ok(Self {
            client_id: connect.client_id().to_owned(),
            anonymous: connect.client_id().is_empty(),
            clean: connect.clean_start(),
            expiry_secs: expiry_secs.min(options.session_expiry_secs_max),
            expiry_capped: expiry_secs > options.session_expiry_secs_max,
            silence_max: silence_max(connect.keep_alive()),
            will,
            reasons,
        })
    }

    /// The CONNACK that lets a client of MQTT 5 in.
    ///
    /// # Errors
    /// Never for options that [`ListenerOptions`] documents as valid.
    pub(super) fn welcome_v5(
        &self,
        session_present: bool,
        options: &ListenerOptions,
    ) -> Result<v5_0::Connack, MqttError> {
        let mut properties: Vec<Property> = vec![
            ReceiveMaximum::new(options.receive_maximum)?.into(),
            MaximumPacketSize::new(options.packet_bytes_max)?.into(),
            TopicAliasMaximum::new(TOPIC_ALIASES)?.into(),
            WildcardSubscriptionAvailable::new(0)?.into(),
            SubscriptionIdentifierAvailable::new(0)?.into(),
            SharedSubscriptionAvailable::new(0)?.into(),
        ];
        if self.expiry_capped {
            properties.push(SessionExpiryInterval::new(self.expiry_secs)?.into());
        }
        if self.anonymous {
            properties.push(AssignedClientIdentifier::new(self.client_id.as_str())?.into());
        }
        v5_0::Connack::builder()
            .session_present(session_present)
            .reason_code(ConnectReasonCode::Success)
            .props(properties)
            .build()
    }
}

/// MQTT 3.1.1, 3.1.2.10: a server waits one and a half times the keep-alive; 0 turns it off.
fn silence_max(keep_alive_secs: u16) -> Option<Duration> {
    (keep_alive_secs > 0).then(|| Duration::from_secs(u64::from(keep_alive_secs)) * 3 / 2)
}

/// What is kept of the properties of a message: user properties as they are, the content type as
/// `content-type`. The others are about delivery, which ends here.
pub(super) fn kept_properties(properties: &[Property]) -> Properties {
    let kept = |property: &Property| match property {
        Property::UserProperty(pair) => Some((pair.key().to_owned(), pair.val().to_owned())),
        Property::ContentType(kind) => Some(("content-type".to_owned(), kind.val().to_owned())),
        _ => None,
    };
    properties.iter().filter_map(kept).collect()
}
