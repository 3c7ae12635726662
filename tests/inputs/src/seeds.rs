//! Where the search begins: what honest clients send, taken from the golden files of the crates. Made by code, so that there is
//! nothing to keep in step.

use crate::shard::OFFERS;
use crate::steps::{Step, write};
use crate::world::with_peer;
use livekit_protocol::signal_request::Message;
use livekit_protocol::{
    AddTrackRequest, JoinRequest, SessionDescription, SignalRequest, UpdateSubscription, UpdateTrackSettings,
};
use prost::Message as _;
use std::path::Path;

const COMMANDS: &str = include_str!("../../../server/circle/tests/golden/commands.json");
/// DATA_CHANNEL_OPEN for `_reliable` (RFC 8832 section 5.1).
const CHANNEL_OPEN: &[u8] = b"\x03\x00\x01\x00\x00\x00\x00\x00\x00\x09\x00\x00_reliable";
/// One packet of Opus with an audio level (RFC 6464), and one of VP8 with a picture id.
const OPUS: &[u8] = b"\x90\x6f\x00\x01\x00\x00\x03\xc0\x00\x00\x00\x07\xbe\xde\x00\x01\x10\xaa\x00\x00voice";
const VP8: &[u8] = b"\x80\xe0\x00\x02\x00\x00\x0b\xb8\x00\x00\x00\x09\x90\x80\x81\x02\x10\x02\x00\x9d\x01\x2a\x40\x01\xf0\x00";
/// A sender report, and a request for one packet again (RFC 4585 section 6.2.1).
const REPORTS: &[u8] = b"\x80\xc8\x00\x06\x00\x00\x00\x07\x01\x02\x03\x04\x05\x06\x07\x08\x00\x00\x03\xc0\x00\x00\x00\x05\x00\x00\x01\x90\
\x81\xcd\x00\x03\x00\x00\x00\x07\x00\x00\x00\x09\x00\x02\x00\x03";
/// An Allocate request without credentials (RFC 8656 section 7).
const ALLOCATE: &[u8] = b"\x00\x03\x00\x08\x21\x12\xa4\x42ABCDEFGHIJKL\x00\x19\x00\x04\x11\x00\x00\x00";

/// For one target.
///
/// # Panics
/// For a golden file that is none.
#[must_use]
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut seeds = match target {
        "sdp" => OFFERS.iter().map(|offer| offer.as_bytes().to_vec()).collect(),
        "circle" => vec![circle()],
        "signal" => vec![signal()],
        "shard" => vec![shard()],
        "sctp" => vec![sctp()],
        "rtp_rtcp" => vec![OPUS.to_vec(), VP8.to_vec(), REPORTS.to_vec()],
        "srtp" => [OPUS, VP8, REPORTS].iter().map(|packet| [&[1, 40, 1], *packet].concat()).collect(),
        "frames" => vec![[&[3, 0, 28][..], ALLOCATE, &[0, 5], b"voice", &[0, 0, 0x16, 3, 1]].concat()],
        "turn" => vec![ALLOCATE.to_vec(), ALLOCATE.repeat(8)],
        "stun" | "dtls" => {
            let mut check = Vec::new();
            with_peer(|world| check = world.check(&[(0x0025, &[])]));
            vec![[&[0], check.as_slice()].concat(), check.repeat(4)]
        }
        _ => Vec::new(),
    };
    // What nothing meaningful stands in, of several lengths.
    seeds.extend([0, 1, 16, 200, 4000].map(|length| noise(length, length as u64 + 1)));
    seeds
}

/// Writes the seeds of a target into the folder that `ENZA_SEEDS` names, before libFuzzer looks there.
///
/// # Panics
/// When they cannot be written.
pub fn hand_out(target: &str) {
    let Some(folder) = std::env::var_os("ENZA_SEEDS") else { return };
    for (at, seed) in seeds(target).iter().enumerate() {
        std::fs::write(Path::new(&folder).join(format!("seed-{at}")), seed).expect("a folder for the seeds");
    }
}

/// The same bytes each time (xorshift).
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Everybody comes in, and each golden command is given by somebody.
fn circle() -> Vec<u8> {
    let commands: Vec<serde_json::Value> = serde_json::from_str(COMMANDS).expect("golden commands");
    let commands: Vec<String> = commands.iter().map(ToString::to_string).collect();
    let come = (0..5).map(|who| Step { kind: 0, who, number: 0, bytes: b"Name" });
    let say = commands.iter().zip(0..).flat_map(|(json, at)| {
        let rest = Step { kind: 8, who: 0, number: 100, bytes: b"" };
        [Step { kind: 1, who: at % 5, number: 0, bytes: json.as_bytes() }, rest]
    });
    let rules = Step { kind: 7, who: 0, number: 0, bytes: br#"{"lobby":"everybody","microphones":"held"}"# };
    write(&come.chain(say).chain([rules]).collect::<Vec<_>>())
}

/// Three people publish and receive.
fn signal() -> Vec<u8> {
    let offer =
        SessionDescription { r#type: "offer".into(), sdp: OFFERS[1].into(), id: 1, ..Default::default() };
    let join = JoinRequest { publisher_offer: Some(offer), ..Default::default() }.encode_to_vec();
    let say = |message| SignalRequest { message: Some(message) }.encode_to_vec();
    let track = say(Message::AddTrack(AddTrackRequest {
        cid: "cid".into(),
        name: "voice".into(),
        ..Default::default()
    }));
    let sids = vec!["TR_x".to_owned()];
    let wants = say(Message::Subscription(UpdateSubscription {
        track_sids: sids.clone(),
        subscribe: true,
        ..Default::default()
    }));
    let settings = say(Message::TrackSetting(UpdateTrackSettings {
        track_sids: sids,
        disabled: true,
        ..Default::default()
    }));
    let mut steps = Vec::new();
    for who in 0..3 {
        steps.push(Step { kind: 0, who, number: u16::from(who), bytes: &join });
        steps.push(Step { kind: 4, who, number: 0, bytes: b"" });
        for bytes in [&track, &wants, &settings] {
            steps.push(Step { kind: 1, who, number: 0, bytes });
        }
        steps.push(Step { kind: 4, who, number: 0x0100, bytes: b"" });
        steps.push(Step { kind: 4, who, number: 0x0800, bytes: b"\x12\x05hello" });
        steps.push(Step { kind: 6, who, number: 500, bytes: b"" });
    }
    write(&steps)
}

/// Two peers of one room: one publishes, both prove where they are, one receives.
fn shard() -> Vec<u8> {
    let step = |kind, who, number| Step { kind, who, number, bytes: b"" };
    let mut steps =
        vec![step(0, 0, 0), step(0, 1, 0), step(7, 0, 0), step(3, 0, 1), step(3, 1, 2), step(11, 1, 0)];
    steps.extend([step(16, 0, 0x0101), step(16, 1, 0x0102), step(17, 0, 400)]);
    steps.push(Step { kind: 16, who: 0, number: 1, bytes: OPUS });
    steps.extend([
        step(14, 1, 0x0200),
        step(9, 0, 0x0100),
        step(10, 0, 0x0100),
        step(6, 0, 0),
        step(17, 0, 60_000),
    ]);
    write(&steps)
}

/// A channel is opened and used, and time goes by.
fn sctp() -> Vec<u8> {
    write(&[
        Step { kind: 0, who: 0, number: 0, bytes: CHANNEL_OPEN },
        Step { kind: 1, who: 0, number: 0, bytes: b"hello" },
        Step { kind: 4, who: 0, number: 0, bytes: b"and back" },
        Step { kind: 2, who: 0, number: 9000, bytes: b"large" },
        Step { kind: 3, who: 0, number: 0, bytes: b"\x04\x00\x00\x0c\x00\x01\x00\x08\x01\x02\x03\x04" },
        Step { kind: 5, who: 0, number: 2000, bytes: b"" },
    ])
}
