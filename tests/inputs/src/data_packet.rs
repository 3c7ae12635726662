//! A data channel message on its way: whoever sent it, the receivers learn the true sender, and its addressing is read
//! as LiveKit's own types read it.

use crate::reading;
use livekit_protocol::{DataPacket, data_packet};
use prost::Message as _;
use signal::{Envelope, Sender};

pub(crate) fn run(bytes: &[u8]) {
    let Some((reliable, packet)) = reading::<(bool, &[u8])>(bytes) else { return };
    let Ok(envelope) = Envelope::read(packet) else { return };
    let sender = Sender { sid: "PA_sender", identity: "sender" };
    let addressed = envelope.addressed(Some(sender), reliable);
    let hidden = envelope.addressed(None, reliable);

    // Depth and content are the receivers' business: they may refuse what is malformed further in.
    let Ok(sent) = DataPacket::decode(packet) else { return };
    let received = DataPacket::decode(addressed).expect("a readable packet stays readable");
    assert_eq!(received.participant_identity, "sender");
    assert_eq!(received.participant_sid, "PA_sender");
    for identity in &received.destination_identities {
        assert!(envelope.identities.contains(&identity.as_str()));
    }
    assert_eq!(received.destination_identities, sent.destination_identities);
    assert_eq!(received.sequence, if reliable { sent.sequence } else { 0 });
    #[allow(deprecated, reason = "older clients read the sender here")]
    if let Some(data_packet::Value::User(user)) = &received.value {
        assert_eq!(user.participant_identity, "sender");
    }
    let anonymous = DataPacket::decode(hidden).expect("a readable packet stays readable");
    assert_eq!((anonymous.participant_identity.as_str(), anonymous.participant_sid.as_str()), ("", ""));
}
