//! Answers to what this endpoint does not offer: it takes messages and hands out none.

use mqtt_protocol_core::mqtt::{
    packet::{Packet, Property, ReasonString, v3_1_1, v5_0},
    result_code::{MqttError, SubackReasonCode, SubackReturnCode, UnsubackReasonCode},
};

/// Why every SUBSCRIBE is refused.
const TAKES_ONLY: &str = "this endpoint only takes publishes; subscribe at a broker";

/// Refuses every filter of a SUBSCRIBE.
pub(super) fn refuse_v3(subscribe: &v3_1_1::Subscribe) -> Result<Packet, MqttError> {
    let codes = vec![SubackReturnCode::Failure; subscribe.entries().len()];
    Ok(v3_1_1::Suback::builder().packet_id(subscribe.packet_id()).return_codes(codes).build()?.into())
}

/// Refuses every filter of a SUBSCRIBE, with the reason as text if the client wants that.
pub(super) fn refuse_v5(subscribe: &v5_0::Subscribe, reasons: bool) -> Result<Packet, MqttError> {
    let codes = vec![SubackReasonCode::NotAuthorized; subscribe.entries().len()];
    let mut answer = v5_0::Suback::builder().packet_id(subscribe.packet_id()).reason_codes(codes);
    if reasons {
        answer = answer.props(vec![Property::from(ReasonString::new(TAKES_ONLY)?)]);
    }
    Ok(answer.build()?.into())
}

/// There was nothing to unsubscribe from, which MQTT 3.1.1 has no word for.
pub(super) fn unsubscribe_v3(unsubscribe: &v3_1_1::Unsubscribe) -> Result<Packet, MqttError> {
    Ok(v3_1_1::Unsuback::builder().packet_id(unsubscribe.packet_id()).build()?.into())
}

/// There was nothing to unsubscribe from.
pub(super) fn unsubscribe_v5(unsubscribe: &v5_0::Unsubscribe) -> Result<Packet, MqttError> {
    let codes = vec![UnsubackReasonCode::NoSubscriptionExisted; unsubscribe.entries().len()];
    Ok(v5_0::Unsuback::builder().packet_id(unsubscribe.packet_id()).reason_codes(codes).build()?.into())
}
