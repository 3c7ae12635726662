//! LiveKit's claims as they stand in a room token's JSON.

use super::ServerGrants;
use livekit_protocol::TrackSource;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;
use signal::Grants;
use std::collections::BTreeMap;

/// The payload of a room token. Absent and `null` are the same.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Claims {
    /// The API key that signed it.
    #[serde(deserialize_with = "absent_or_null")]
    pub(super) iss: String,
    /// The identity; old tokens carry it in `jti`.
    #[serde(deserialize_with = "absent_or_null")]
    pub(super) sub: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "absent_or_null")]
    jti: String,
    /// Seconds since 1970-01-01 UTC; some libraries write fractions.
    nbf: Option<Number>,
    exp: Option<Number>,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "absent_or_null")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "absent_or_null")]
    metadata: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "absent_or_null")]
    attributes: BTreeMap<String, String>,
    /// [`Grants::origin`]: no claim of LiveKit's.
    #[serde(skip_serializing_if = "Option::is_none")]
    enza_origin: Option<String>,
    #[serde(deserialize_with = "absent_or_null")]
    pub(super) video: VideoGrant,
}

/// The `video` grant. An absent `can…` means yes, except for the own metadata.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct VideoGrant {
    #[serde(deserialize_with = "absent_or_null")]
    pub(super) room_join: bool,
    #[serde(deserialize_with = "absent_or_null")]
    pub(super) room: String,
    #[serde(skip_serializing_if = "is_false", deserialize_with = "absent_or_null")]
    room_create: bool,
    #[serde(skip_serializing_if = "is_false", deserialize_with = "absent_or_null")]
    room_list: bool,
    #[serde(skip_serializing_if = "is_false", deserialize_with = "absent_or_null")]
    room_admin: bool,
    can_publish: Option<bool>,
    can_subscribe: Option<bool>,
    can_publish_data: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "absent_or_null")]
    can_publish_sources: Vec<String>,
    can_update_own_metadata: Option<bool>,
    #[serde(skip_serializing_if = "is_false", deserialize_with = "absent_or_null")]
    hidden: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

fn absent_or_null<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(input: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

const SOURCES: [(&str, TrackSource); 4] = [
    ("camera", TrackSource::Camera),
    ("microphone", TrackSource::Microphone),
    ("screen_share", TrackSource::ScreenShare),
    ("screen_share_audio", TrackSource::ScreenShareAudio),
];

impl Claims {
    pub(super) fn identity(&self) -> &str {
        if self.sub.is_empty() { &self.jti } else { &self.sub }
    }

    /// What a caller of the server API may do. Call only after the signature and the times were checked.
    pub(super) fn into_server_grants(self) -> ServerGrants {
        let VideoGrant { room_create, room_list, room_admin, room, .. } = self.video;
        ServerGrants { room_create, room_list, room_admin, room }
    }

    /// What the room is told. Call only after the signature and the times were checked.
    pub(super) fn into_grants(self) -> Grants {
        let can_publish = self.video.can_publish.unwrap_or(true);
        Grants {
            identity: self.identity().to_owned(),
            name: self.name,
            metadata: self.metadata,
            attributes: self.attributes,
            room: self.video.room,
            can_publish,
            can_subscribe: self.video.can_subscribe.unwrap_or(true),
            can_publish_data: self.video.can_publish_data.unwrap_or(can_publish),
            // An unknown source must stay in the list: an empty list would allow everything.
            can_publish_sources: self
                .video
                .can_publish_sources
                .iter()
                .map(|name| {
                    SOURCES
                        .iter()
                        .find(|(known, _)| known.eq_ignore_ascii_case(name))
                        .map_or(TrackSource::Unknown, |(_, source)| *source)
                })
                .collect(),
            can_update_own_metadata: self.video.can_update_own_metadata.unwrap_or(false),
            hidden: self.video.hidden,
            room_admin: self.video.room_admin,
            origin: self.enza_origin,
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
            expires_at_unix: self.exp.and_then(|exp| exp.as_f64()).unwrap_or(0.0) as u64,
        }
    }

    /// The payload for `grants`, valid from `now` (seconds since 1970-01-01 UTC) for `lifetime` seconds.
    pub(super) fn from_grants(grants: &Grants, issuer: &str, now: u64, lifetime: u64) -> Self {
        Self {
            iss: issuer.to_owned(),
            sub: grants.identity.clone(),
            jti: String::new(),
            nbf: Some(now.into()),
            exp: Some(now.saturating_add(lifetime).into()),
            name: grants.name.clone(),
            metadata: grants.metadata.clone(),
            attributes: grants.attributes.clone(),
            enza_origin: grants.origin.clone(),
            video: VideoGrant {
                room_join: true,
                room: grants.room.clone(),
                room_admin: grants.room_admin,
                room_create: false,
                room_list: false,
                can_publish: Some(grants.can_publish),
                can_subscribe: Some(grants.can_subscribe),
                can_publish_data: Some(grants.can_publish_data),
                can_publish_sources: grants
                    .can_publish_sources
                    .iter()
                    .map(|source| {
                        SOURCES
                            .iter()
                            .find(|(_, known)| known == source)
                            .map_or("unknown", |(name, _)| name)
                            .to_owned()
                    })
                    .collect(),
                can_update_own_metadata: Some(grants.can_update_own_metadata),
                hidden: grants.hidden,
            },
        }
    }
}
