//! Data tracks: streams of small lossy packets on the `_data_track` channel, announced by signalling. Each packet
//! names its track by a 16-bit handle, which is the publisher's own on the way in and the receiver's on the way out.
//!
//! Packet header, 12 bytes, big-endian: version (3 bits, 0), start, final and extension flags, 10 reserved bits,
//! handle (16), sequence (16), frame (16), timestamp (32); see `livekit-datatrack`, "Data Track Packet (v0)".

use crate::Room;
use crate::limits::{MAX_DATA_MESSAGE, MAX_DATA_SUBSCRIPTIONS, MAX_DATA_TRACKS};
use crate::update::Tell;
use livekit_protocol::request_response::{Reason, Request};
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    DataTrackInfo, DataTrackSubscriberHandles, PublishDataTrackRequest, PublishDataTrackResponse,
    UnpublishDataTrackRequest, UnpublishDataTrackResponse, UpdateDataSubscription, data_track_frame_encoding,
    data_track_frame_encoding::WellKnownFrameEncoding, data_track_schema_encoding,
    data_track_schema_encoding::WellKnownSchemaEncoding, data_track_subscriber_handles::PublishedDataTrack,
    encryption,
};
use sfu::{Command, DataChannel, PeerId};
use std::collections::BTreeMap;

const HEADER: usize = 12;
/// Letters of a data track's name (LiveKit's own bound).
const MAX_NAME: usize = 256;
/// Letters of a custom encoding's name (LiveKit's own bound).
const MAX_CUSTOM: usize = 32;

/// One participant's data tracks, both ways.
#[derive(Debug, Default)]
pub(crate) struct DataTracks {
    /// By the publisher's handle.
    published: BTreeMap<u16, DataTrack>,
    /// By the receiver's handle.
    received: BTreeMap<u16, Received>,
    /// Take every data track as it appears.
    pub(crate) auto_subscribe: bool,
}

#[derive(Debug)]
struct DataTrack {
    info: DataTrackInfo,
    /// Receivers and the handle each knows the track by.
    receivers: BTreeMap<PeerId, u16>,
}

#[derive(Clone, Debug)]
struct Received {
    publisher: PeerId,
    handle: u16,
    sid: String,
}

impl DataTracks {
    pub(crate) fn new(auto_subscribe: bool) -> Self {
        Self { auto_subscribe, ..Self::default() }
    }

    pub(crate) fn infos(&self) -> Vec<DataTrackInfo> {
        self.published.values().map(|track| track.info.clone()).collect()
    }

    pub(crate) fn has_received(&self) -> bool {
        !self.received.is_empty()
    }

    fn free_handle(&self) -> Option<u16> {
        if self.received.len() >= MAX_DATA_SUBSCRIPTIONS {
            return None;
        }
        let mut taken = self.received.keys();
        (1..=u16::MAX).find(|handle| taken.next() != Some(handle))
    }

    fn drop_publisher(&mut self, publisher: PeerId, handle: Option<u16>) -> bool {
        let before = self.received.len();
        self.received.retain(|_, track| {
            track.publisher != publisher || handle.is_some_and(|handle| track.handle != handle)
        });
        self.received.len() != before
    }

    #[cfg(test)]
    pub(crate) fn peers(&self) -> impl Iterator<Item = PeerId> {
        let receivers = self.published.values().flat_map(|track| track.receivers.keys().copied());
        receivers.chain(self.received.values().map(|track| track.publisher))
    }
}

/// Whether encoding and schema are within LiveKit's bounds and name only kinds that every client can be told of.
fn is_readable(request: &PublishDataTrackRequest) -> bool {
    let encoding = match request.frame_encoding.as_ref().and_then(|encoding| encoding.value.as_ref()) {
        None => true,
        Some(data_track_frame_encoding::Value::WellKnown(kind)) => {
            WellKnownFrameEncoding::try_from(*kind).is_ok()
        }
        Some(data_track_frame_encoding::Value::Custom(name)) => name.chars().count() <= MAX_CUSTOM,
    };
    let schema = request.schema.as_ref();
    let schema_encoding = schema.and_then(|schema| schema.encoding.as_ref()?.value.as_ref());
    let schema_encoding = match schema_encoding {
        None => true,
        Some(data_track_schema_encoding::Value::WellKnown(kind)) => {
            WellKnownSchemaEncoding::try_from(*kind).is_ok()
        }
        Some(data_track_schema_encoding::Value::Custom(name)) => name.chars().count() <= MAX_CUSTOM,
    };
    encoding && schema_encoding && schema.is_none_or(|schema| schema.name.chars().count() <= MAX_NAME)
}

impl Room {
    pub(crate) fn publish_data_track(&mut self, peer: PeerId, request: PublishDataTrackRequest) {
        let Some(participant) = self.participants.get(&peer) else { return };
        let published = &participant.data_tracks.published;
        let handle = u16::try_from(request.pub_handle).ok().filter(|&handle| handle != 0);
        let refused = if !participant.grants.can_publish_data || participant.grants.hidden {
            Some((Reason::NotAllowed, "the token does not allow publishing data"))
        } else if published.len() >= MAX_DATA_TRACKS {
            Some((Reason::LimitExceeded, "too many data tracks"))
        } else if request.name.is_empty() || request.name.chars().count() > MAX_NAME {
            Some((Reason::InvalidName, "a data track's name has 1 to 256 letters"))
        } else if !is_readable(&request) {
            Some((Reason::InvalidRequest, "the encoding or the schema is not within bounds"))
        } else if published.values().any(|track| track.info.name == request.name) {
            Some((Reason::DuplicateName, "the name is in use"))
        } else if handle.is_some_and(|handle| published.contains_key(&handle)) {
            Some((Reason::DuplicateHandle, "the handle is in use"))
        } else {
            None
        };
        let handle = match (refused, handle) {
            (None, Some(handle)) => handle,
            (refused, _) => {
                let (reason, message) =
                    refused.unwrap_or((Reason::InvalidHandle, "a handle is 16 bits and not zero"));
                self.answer_request(peer, 0, reason, message, Request::PublishDataTrack(request));
                return;
            }
        };
        let info = DataTrackInfo {
            pub_handle: handle.into(),
            sid: self.sids.data_track(),
            name: request.name,
            encryption: encryption::Type::try_from(request.encryption).unwrap_or_default().into(),
            frame_encoding: request.frame_encoding,
            schema: request.schema,
        };
        if let Some(participant) = self.participants.get_mut(&peer) {
            let track = DataTrack { info: info.clone(), receivers: BTreeMap::new() };
            participant.data_tracks.published.insert(handle, track);
        }
        self.send(peer, Message::PublishDataTrackResponse(PublishDataTrackResponse { info: Some(info) }));
        self.announce(peer, Tell::Everybody);
        let takers: Vec<PeerId> =
            self.participants.values().filter(|p| p.data_tracks.auto_subscribe).map(|p| p.peer).collect();
        for taker in takers {
            if self.subscribe_data(taker, peer, handle) {
                self.tell_handles(taker);
            }
        }
    }

    pub(crate) fn unpublish_data_track(&mut self, peer: PeerId, request: UnpublishDataTrackRequest) {
        let handle = u16::try_from(request.pub_handle).ok();
        let own = self.participants.get_mut(&peer).map(|participant| &mut participant.data_tracks.published);
        let track = own.and_then(|published| published.remove(&handle?));
        let (Some(track), Some(handle)) = (track, handle) else {
            self.answer_request(
                peer,
                0,
                Reason::NotFound,
                "no such data track",
                Request::UnpublishDataTrack(request),
            );
            return;
        };
        for receiver in track.receivers.into_keys() {
            if let Some(receiver) = self.participants.get_mut(&receiver) {
                receiver.data_tracks.drop_publisher(peer, Some(handle));
            }
            self.tell_handles(receiver);
        }
        let info = Some(track.info);
        self.send(peer, Message::UnpublishDataTrackResponse(UnpublishDataTrackResponse { info }));
        self.announce(peer, Tell::Everybody);
    }

    pub(crate) fn update_data_subscription(&mut self, peer: PeerId, request: &UpdateDataSubscription) {
        let mut changed = false;
        for update in request.updates.iter().take(MAX_DATA_SUBSCRIPTIONS) {
            let Some((publisher, handle)) = self.data_track_by_sid(&update.track_sid) else { continue };
            changed |= if update.subscribe {
                self.subscribe_data(peer, publisher, handle)
            } else {
                self.unsubscribe_data(peer, publisher, handle)
            };
        }
        if changed {
            self.tell_handles(peer);
        }
    }

    /// A participant joined who takes every data track.
    pub(crate) fn subscribe_all_data(&mut self, peer: PeerId) {
        let tracks: Vec<(PeerId, u16)> = self
            .participants
            .values()
            .flat_map(|p| p.data_tracks.published.keys().map(|&handle| (p.peer, handle)))
            .collect();
        let mut changed = false;
        for (publisher, handle) in tracks {
            changed |= self.subscribe_data(peer, publisher, handle);
        }
        if changed {
            self.tell_handles(peer);
        }
    }

    fn data_track_by_sid(&self, sid: &str) -> Option<(PeerId, u16)> {
        self.participants.values().find_map(|p| {
            let (&handle, _) = p.data_tracks.published.iter().find(|(_, track)| track.info.sid == sid)?;
            Some((p.peer, handle))
        })
    }

    fn subscribe_data(&mut self, receiver: PeerId, publisher: PeerId, handle: u16) -> bool {
        let Some(to) = self.participants.get(&receiver).filter(|to| to.grants.can_subscribe) else {
            return false;
        };
        let Some(free) = to.data_tracks.free_handle().filter(|_| receiver != publisher) else { return false };
        let from = self.participants.get_mut(&publisher);
        let Some(track) = from.and_then(|from| from.data_tracks.published.get_mut(&handle)) else {
            return false;
        };
        if track.receivers.contains_key(&receiver) {
            return false;
        }
        track.receivers.insert(receiver, free);
        let received = Received { publisher, handle, sid: track.info.sid.clone() };
        if let Some(to) = self.participants.get_mut(&receiver) {
            to.data_tracks.received.insert(free, received);
        }
        true
    }

    fn unsubscribe_data(&mut self, receiver: PeerId, publisher: PeerId, handle: u16) -> bool {
        let from = self.participants.get_mut(&publisher);
        if let Some(track) = from.and_then(|from| from.data_tracks.published.get_mut(&handle)) {
            track.receivers.remove(&receiver);
        }
        let to = self.participants.get_mut(&receiver);
        to.is_some_and(|to| to.data_tracks.drop_publisher(publisher, Some(handle)))
    }

    /// Tells a receiver which handle stands for which data track: the whole map each time.
    pub(crate) fn tell_handles(&mut self, receiver: PeerId) {
        let Some(participant) = self.participants.get(&receiver) else { return };
        let sub_handles = participant
            .data_tracks
            .received
            .iter()
            .filter_map(|(&handle, track)| {
                let publisher = self.participants.get(&track.publisher)?;
                let named = PublishedDataTrack {
                    publisher_identity: publisher.grants.identity.clone(),
                    publisher_sid: publisher.sid.clone(),
                    track_sid: track.sid.clone(),
                };
                Some((handle.into(), named))
            })
            .collect();
        self.send(receiver, Message::DataTrackSubscriberHandles(DataTrackSubscriberHandles { sub_handles }));
    }

    /// Somebody left: nobody sends to or receives from it any more.
    pub(crate) fn forget_data_tracks_of(&mut self, gone: PeerId) {
        let mut affected = Vec::new();
        for participant in self.participants.values_mut() {
            if participant.data_tracks.drop_publisher(gone, None) {
                affected.push(participant.peer);
            }
            for track in participant.data_tracks.published.values_mut() {
                track.receivers.remove(&gone);
            }
        }
        for receiver in affected {
            self.tell_handles(receiver);
        }
    }

    /// One packet of a data track: the same bytes to each receiver but for its handle.
    pub(crate) fn data_track_packet(&mut self, from: PeerId, packet: &[u8]) {
        if packet.len() > MAX_DATA_MESSAGE || packet.len() < HEADER {
            return;
        }
        let &[flags, _, high, low, ..] = packet else { return };
        if flags >> 5 != 0 {
            return; // a later version of the header
        }
        let handle = u16::from_be_bytes([high, low]);
        let Some(participant) = self.participants.get(&from) else { return };
        let Some(track) = participant.data_tracks.published.get(&handle) else { return };
        for (peer, handle) in track.receivers.clone() {
            let mut payload = packet.to_vec();
            if let Some(place) = payload.get_mut(2..4) {
                place.copy_from_slice(&handle.to_be_bytes());
            }
            let payload = payload.into();
            self.command(Command::SendData { to: vec![peer], channel: DataChannel::DataTrack, payload });
        }
    }
}
