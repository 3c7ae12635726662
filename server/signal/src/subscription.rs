//! Who receives what: a participant's wishes, the publisher's permission, and what the media plane was told.

use crate::Room;
use crate::limits::{MAX_LIST, MAX_PARTICIPANTS};
use crate::track::Track;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    SubscribedCodec, SubscribedQuality, SubscribedQualityUpdate, SubscriptionError, SubscriptionPermission,
    SubscriptionPermissionUpdate, SubscriptionResponse, UpdateSubscription, UpdateTrackSettings,
    VideoQuality,
};
use sfu::{Command, PeerId, Quality, TrackId, TrackSetting};
use std::collections::{BTreeMap, BTreeSet};

/// Where one wished-for track stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subscription {
    /// The media plane was told.
    Asked,
    /// It has an m-line.
    Flowing,
    /// The client negotiated no codec of it.
    CodecRefused,
    /// Its publisher does not let this participant have it.
    NotPermitted,
}

/// What one participant wants to receive, and what became of it. Tracks that end are forgotten everywhere.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// Take every track that nothing else is said about.
    pub(crate) auto_subscribe: bool,
    choices: BTreeMap<TrackId, bool>,
    pub(crate) subscriptions: BTreeMap<TrackId, Subscription>,
    settings: BTreeMap<TrackId, TrackSetting>,
}

impl Wishes {
    pub(crate) fn new(auto_subscribe: bool) -> Self {
        Self { auto_subscribe, ..Self::default() }
    }

    fn wants(&self, track: TrackId) -> bool {
        self.choices.get(&track).copied().unwrap_or(self.auto_subscribe)
    }

    pub(crate) fn forget(&mut self, track: TrackId) {
        self.choices.remove(&track);
        self.subscriptions.remove(&track);
        self.settings.remove(&track);
    }

    #[cfg(test)]
    pub(crate) fn tracks(&self) -> impl Iterator<Item = TrackId> {
        self.choices.keys().chain(self.subscriptions.keys()).chain(self.settings.keys()).copied()
    }
}

/// Whom a publisher lets receive its tracks (LiveKit `SubscriptionPermission`), by identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    Everyone,
    Only(BTreeMap<String, Allowed>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    AllTracks,
    Tracks(BTreeSet<String>),
}

impl Audience {
    fn admits(&self, identity: &str, track_sid: &str) -> bool {
        match self {
            Self::Everyone => true,
            Self::Only(list) => match list.get(identity) {
                Some(Allowed::AllTracks) => true,
                Some(Allowed::Tracks(sids)) => sids.contains(track_sid),
                None => false,
            },
        }
    }
}

/// What one reconciliation leads to.
enum Step {
    Subscribe { newly_permitted: bool },
    Withhold { subscribed: bool },
    Unsubscribe { subscribed: bool },
}

impl Room {
    /// Brings the media plane's state of one (subscriber, track) to what is wanted and permitted.
    pub(crate) fn reconcile(&mut self, subscriber: PeerId, id: TrackId) {
        let Some(track) = self.tracks.get(&id) else { return };
        let Some(participant) = self.participants.get(&subscriber) else { return };
        if track.owner == subscriber || !track.is_published() {
            return;
        }
        let wanted = participant.grants.can_subscribe && participant.wishes.wants(id);
        let permitted = self.admits(track, participant.grants.identity.as_str());
        let current = participant.wishes.subscriptions.get(&id).copied();
        let step = match (wanted, permitted, current) {
            (true, true, None) => Step::Subscribe { newly_permitted: false },
            (true, true, Some(Subscription::NotPermitted)) => Step::Subscribe { newly_permitted: true },
            (true, true, Some(_)) | (true, false, Some(Subscription::NotPermitted)) | (false, _, None) => {
                return;
            }
            (true, false, current) => Step::Withhold { subscribed: current.is_some() },
            (false, _, Some(current)) => {
                Step::Unsubscribe { subscribed: current != Subscription::NotPermitted }
            }
        };
        self.take_step(subscriber, id, step);
    }

    fn take_step(&mut self, subscriber: PeerId, id: TrackId, step: Step) {
        let Some(participant) = self.participants.get_mut(&subscriber) else { return };
        let wishes = &mut participant.wishes;
        match step {
            Step::Subscribe { newly_permitted } => {
                wishes.subscriptions.insert(id, Subscription::Asked);
                let setting = wishes.settings.get(&id).copied();
                if newly_permitted {
                    self.tell_permission(subscriber, id, true);
                }
                self.command(Command::Subscribe { peer: subscriber, track: id });
                if let Some(setting) = setting {
                    self.command(Command::TrackSetting { peer: subscriber, track: id, setting });
                }
            }
            Step::Withhold { subscribed } => {
                wishes.subscriptions.insert(id, Subscription::NotPermitted);
                if subscribed {
                    self.command(Command::Unsubscribe { peer: subscriber, track: id });
                }
                self.tell_permission(subscriber, id, false);
            }
            Step::Unsubscribe { subscribed } => {
                wishes.subscriptions.remove(&id);
                if subscribed {
                    self.command(Command::Unsubscribe { peer: subscriber, track: id });
                }
            }
        }
    }

    /// A track became visible or its audience changed.
    pub(crate) fn reconcile_track(&mut self, id: TrackId) {
        let subscribers: Vec<PeerId> = self.participants.keys().copied().collect();
        for subscriber in subscribers {
            self.reconcile(subscriber, id);
        }
    }

    /// A participant joined: everything that is there already.
    pub(crate) fn reconcile_subscriber(&mut self, subscriber: PeerId) {
        let tracks: Vec<TrackId> = self.tracks.keys().copied().collect();
        for id in tracks {
            self.reconcile(subscriber, id);
        }
    }

    fn admits(&self, track: &Track, identity: &str) -> bool {
        self.participants
            .get(&track.owner)
            .is_some_and(|owner| owner.audience.admits(identity, track.info.sid.as_str()))
    }

    /// Whether `listener` may know that `speaker` speaks: its own voice, or one it may receive.
    pub(crate) fn may_hear(&self, listener: PeerId, speaker: PeerId) -> bool {
        if listener == speaker {
            return true;
        }
        let (Some(to), Some(from)) = (self.participants.get(&listener), self.participants.get(&speaker))
        else {
            return false;
        };
        to.grants.can_subscribe
            && !from.grants.hidden
            && match &from.audience {
                Audience::Everyone => true,
                Audience::Only(list) => match list.get(&to.grants.identity) {
                    Some(Allowed::AllTracks) => true,
                    Some(Allowed::Tracks(sids)) => !sids.is_empty(),
                    None => false,
                },
            }
    }

    /// `subscription`: both lists mean the same. An unknown track is told when `answer_unknown`.
    pub(crate) fn update_subscription(
        &mut self,
        peer: PeerId,
        request: &UpdateSubscription,
        answer_unknown: bool,
    ) {
        let listed = request.participant_tracks.iter().flat_map(|tracks| tracks.track_sids.iter());
        for sid in request.track_sids.iter().chain(listed).take(MAX_LIST) {
            let Some(track) = self.track_by_sid(sid).filter(|track| track.owner != peer) else {
                if answer_unknown && request.subscribe {
                    self.refuse_subscription(peer, sid.clone(), SubscriptionError::SeTrackNotfound);
                }
                continue;
            };
            let id = track.id;
            if let Some(participant) = self.participants.get_mut(&peer) {
                participant.wishes.choices.insert(id, request.subscribe);
            }
            self.reconcile(peer, id);
        }
    }

    /// `track_setting`: which layer, how large, or nothing for now.
    pub(crate) fn track_setting(&mut self, peer: PeerId, request: &UpdateTrackSettings) {
        let off = request.quality() == VideoQuality::Off;
        let setting = TrackSetting {
            disabled: request.disabled || off,
            quality: match request.quality() {
                VideoQuality::Low => Quality::Low,
                VideoQuality::Medium => Quality::Medium,
                VideoQuality::High | VideoQuality::Off => Quality::High,
            },
            width: request.width,
            height: request.height,
            priority: request.priority,
        };
        for sid in request.track_sids.iter().take(MAX_LIST) {
            self.set_track(peer, sid, |current| *current = setting);
        }
    }

    /// `sync_state.track_sids_disabled`: what the client had switched off before it resumed.
    pub(crate) fn disable_tracks(&mut self, peer: PeerId, sids: &[String]) {
        for sid in sids.iter().take(MAX_LIST) {
            self.set_track(peer, sid, |setting| setting.disabled = true);
        }
    }

    fn set_track(&mut self, peer: PeerId, sid: &str, change: impl FnOnce(&mut TrackSetting)) {
        let Some(id) = self.track_by_sid(sid).filter(|track| track.owner != peer).map(|track| track.id)
        else {
            return;
        };
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        let setting = participant.wishes.settings.entry(id).or_default();
        change(setting);
        let setting = *setting;
        if matches!(
            participant.wishes.subscriptions.get(&id),
            Some(Subscription::Asked | Subscription::Flowing)
        ) {
            self.command(Command::TrackSetting { peer, track: id, setting });
        }
    }

    /// `subscription_permission`: the publisher says who may receive its tracks.
    pub(crate) fn set_audience(&mut self, peer: PeerId, request: &SubscriptionPermission) {
        let audience = if request.all_participants {
            Audience::Everyone
        } else {
            let mut list = BTreeMap::new();
            for permission in request.track_permissions.iter().take(MAX_PARTICIPANTS) {
                let by_sid = || {
                    let named = |p: &&crate::participant::Participant| p.sid == permission.participant_sid;
                    self.participants.values().find(named).map(|p| p.grants.identity.clone())
                };
                let identity = Some(permission.participant_identity.clone()).filter(|name| !name.is_empty());
                let Some(identity) = identity.or_else(by_sid) else { continue };
                let allowed = if permission.all_tracks {
                    Allowed::AllTracks
                } else {
                    // Only the publisher's own tracks can matter, and those are few.
                    let own = |sid: &&String| self.own_track(peer, sid).is_some();
                    Allowed::Tracks(permission.track_sids.iter().filter(own).cloned().collect())
                };
                list.insert(identity, allowed);
            }
            Audience::Only(list)
        };
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        if participant.audience == audience {
            return;
        }
        participant.audience = audience;
        for id in participant.tracks.clone() {
            self.reconcile_track(id);
        }
    }

    pub(crate) fn subscribed(&mut self, peer: PeerId, id: TrackId) {
        let state = self.participants.get_mut(&peer).and_then(|p| p.wishes.subscriptions.get_mut(&id));
        if let Some(state @ (Subscription::Asked | Subscription::CodecRefused)) = state {
            *state = Subscription::Flowing;
            self.note_subscribed(id);
        }
    }

    pub(crate) fn subscription_refused(&mut self, peer: PeerId, id: TrackId) {
        let state = self.participants.get_mut(&peer).and_then(|p| p.wishes.subscriptions.get_mut(&id));
        let Some(state @ (Subscription::Asked | Subscription::Flowing)) = state else { return };
        *state = Subscription::CodecRefused;
        if let Some(sid) = self.tracks.get(&id).map(|track| track.info.sid.clone()) {
            self.refuse_subscription(peer, sid, SubscriptionError::SeCodecUnsupported);
        }
    }

    fn refuse_subscription(&mut self, peer: PeerId, track_sid: String, err: SubscriptionError) {
        self.send(peer, Message::SubscriptionResponse(SubscriptionResponse { track_sid, err: err.into() }));
    }

    fn tell_permission(&mut self, subscriber: PeerId, id: TrackId, allowed: bool) {
        let Some(track) = self.tracks.get(&id) else { return };
        let Some(owner) = self.participants.get(&track.owner) else { return };
        let update = SubscriptionPermissionUpdate {
            participant_sid: owner.sid.clone(),
            track_sid: track.info.sid.clone(),
            allowed,
        };
        self.send(subscriber, Message::SubscriptionPermissionUpdate(update));
    }

    /// The refusals a resumed client may have missed.
    pub(crate) fn repeat_refusals(&mut self, peer: PeerId) {
        let Some(participant) = self.participants.get(&peer) else { return };
        let states: Vec<(TrackId, Subscription)> =
            participant.wishes.subscriptions.iter().map(|(&id, &state)| (id, state)).collect();
        for (id, state) in states {
            match state {
                Subscription::NotPermitted => self.tell_permission(peer, id, false),
                Subscription::CodecRefused => {
                    if let Some(sid) = self.tracks.get(&id).map(|track| track.info.sid.clone()) {
                        self.refuse_subscription(peer, sid, SubscriptionError::SeCodecUnsupported);
                    }
                }
                Subscription::Asked | Subscription::Flowing => {}
            }
        }
    }

    /// Which layers of its track the publisher should send (dynacast).
    pub(crate) fn wanted_layers(&mut self, id: TrackId, wanted: Vec<(Quality, bool)>) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        track.wanted = wanted;
        self.tell_wanted(id);
    }

    #[expect(deprecated, reason = "clients without codec simulcast read subscribed_qualities")]
    pub(crate) fn tell_wanted(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get(&id).filter(|track| !track.wanted.is_empty()) else { return };
        let qualities: Vec<SubscribedQuality> = track
            .wanted
            .iter()
            .map(|&(quality, enabled)| {
                let quality = match quality {
                    Quality::Low => VideoQuality::Low,
                    Quality::Medium => VideoQuality::Medium,
                    Quality::High => VideoQuality::High,
                };
                SubscribedQuality { quality: quality.into(), enabled }
            })
            .collect();
        let update = SubscribedQualityUpdate {
            track_sid: track.info.sid.clone(),
            subscribed_codecs: vec![SubscribedCodec {
                codec: track.codec_name(),
                qualities: qualities.clone(),
            }],
            subscribed_qualities: qualities,
        };
        let owner = track.owner;
        self.send(owner, Message::SubscribedQualityUpdate(update));
    }
}
