//! Who receives what: a participant's wishes, the publisher's permission, and what the media plane was told.

use crate::Room;
use crate::limits::{MAX_LIST, MAX_PARTICIPANTS};
use crate::track::Track;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    StreamState, StreamStateInfo, StreamStateUpdate, SubscriptionError, SubscriptionPermission,
    SubscriptionPermissionUpdate, SubscriptionResponse, UpdateSubscription, UpdateTrackSettings,
    VideoQuality,
};
use sfu::{Command, PeerId, Quality, TrackId, TrackSetting};
use std::collections::{BTreeMap, BTreeSet};

/// Where one wished-for track stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subscription {
    /// The media plane was told.
    Asked(Encoding),
    /// It has an m-line.
    Flowing(Encoding),
    /// The client did not negotiate the track's codec; the publisher was asked for the other one.
    AwaitingBackup,
    /// The client negotiated no codec of it.
    CodecRefused,
    /// Its publisher does not let this participant have it.
    NotPermitted,
}

/// Which codec of a track a subscriber gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Primary,
    Backup,
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
    Withhold { from: Option<Subscription> },
    Unsubscribe { from: Subscription },
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
            (true, false, from) => Step::Withhold { from },
            (false, _, Some(from)) => Step::Unsubscribe { from },
        };
        self.take_step(subscriber, id, step);
    }

    fn take_step(&mut self, subscriber: PeerId, id: TrackId, step: Step) {
        let Some(participant) = self.participants.get_mut(&subscriber) else { return };
        let wishes = &mut participant.wishes;
        match step {
            Step::Subscribe { newly_permitted } => {
                wishes.subscriptions.insert(id, Subscription::Asked(Encoding::Primary));
                let setting = wishes.settings.get(&id).copied();
                if newly_permitted {
                    self.tell_permission(subscriber, id, true);
                }
                self.command(Command::Subscribe { peer: subscriber, track: id });
                if let Some(setting) = setting {
                    self.command(Command::TrackSetting { peer: subscriber, track: id, setting });
                }
            }
            Step::Withhold { from } => {
                wishes.subscriptions.insert(id, Subscription::NotPermitted);
                if let Some(from) = from {
                    self.end_subscription(subscriber, id, from);
                }
                self.tell_permission(subscriber, id, false);
            }
            Step::Unsubscribe { from } => {
                wishes.subscriptions.remove(&id);
                self.end_subscription(subscriber, id, from);
            }
        }
    }

    /// Tells whom it concerns that a subscription in this state is over.
    fn end_subscription(&mut self, peer: PeerId, id: TrackId, from: Subscription) {
        let track = match from {
            Subscription::NotPermitted => return,
            Subscription::Asked(Encoding::Backup) | Subscription::Flowing(Encoding::Backup) => {
                self.tracks.get(&id).and_then(|track| track.backup.as_ref()?.id()).unwrap_or(id)
            }
            _ => id,
        };
        self.command(Command::Unsubscribe { peer, track });
        if matches!(from, Subscription::AwaitingBackup | Subscription::CodecRefused) {
            self.settle_backup(id);
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
            fps: request.fps,
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
        let track = match participant.wishes.subscriptions.get(&id) {
            Some(Subscription::Asked(encoding) | Subscription::Flowing(encoding)) => match encoding {
                Encoding::Primary => Some(id),
                Encoding::Backup => self.tracks.get(&id).and_then(|track| track.backup.as_ref()?.id()),
            },
            _ => None,
        };
        if let Some(track) = track {
            self.command(Command::TrackSetting { peer, track, setting });
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

    /// An m-line carries the track, by the media plane's number of one of its codecs.
    pub(crate) fn subscribed(&mut self, peer: PeerId, number: TrackId) {
        let id = self.track_of(number);
        let encoding = if number == id { Encoding::Primary } else { Encoding::Backup };
        let state = self.participants.get_mut(&peer).and_then(|p| p.wishes.subscriptions.get_mut(&id));
        match state {
            Some(state @ Subscription::Asked(_)) if *state == Subscription::Asked(encoding) => {
                *state = Subscription::Flowing(encoding);
            }
            // The publisher changed to a codec that fits.
            Some(state @ (Subscription::AwaitingBackup | Subscription::CodecRefused))
                if encoding == Encoding::Primary =>
            {
                *state = Subscription::Flowing(encoding);
                self.settle_backup(id);
            }
            _ => return,
        }
        self.note_subscribed(id);
    }

    pub(crate) fn subscription_refused(&mut self, peer: PeerId, number: TrackId) {
        let id = self.track_of(number);
        let encoding = if number == id { Encoding::Primary } else { Encoding::Backup };
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        let state = participant.wishes.subscriptions.get_mut(&id);
        let Some(state @ (Subscription::Asked(_) | Subscription::Flowing(_))) = state else { return };
        let refused = [Subscription::Asked(encoding), Subscription::Flowing(encoding)].contains(state);
        let has_backup = self.tracks.get(&id).is_some_and(|track| track.backup.is_some());
        if !refused {
            return;
        }
        if encoding == Encoding::Primary && has_backup {
            *state = Subscription::AwaitingBackup;
            self.ask_backup(id);
        } else {
            self.refuse_codec(peer, id);
        }
    }

    /// Nothing that the publisher sends fits: the client shows that instead of a black tile.
    pub(crate) fn refuse_codec(&mut self, peer: PeerId, id: TrackId) {
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        participant.wishes.subscriptions.insert(id, Subscription::CodecRefused);
        if let Some(sid) = self.tracks.get(&id).map(|track| track.info.sid.clone()) {
            self.refuse_subscription(peer, sid, SubscriptionError::SeCodecUnsupported);
        }
    }

    /// Moves everybody in one of `states` to the given codec.
    pub(crate) fn subscribe_waiting(
        &mut self,
        id: TrackId,
        number: TrackId,
        encoding: Encoding,
        waits: impl Fn(Subscription) -> bool,
    ) {
        let peers: Vec<PeerId> = self.waiting(id, waits).collect();
        for peer in peers {
            let Some(participant) = self.participants.get_mut(&peer) else { continue };
            participant.wishes.subscriptions.insert(id, Subscription::Asked(encoding));
            let setting = participant.wishes.settings.get(&id).copied();
            if encoding == Encoding::Backup {
                self.command(Command::Unsubscribe { peer, track: id });
            }
            self.command(Command::Subscribe { peer, track: number });
            if let Some(setting) = setting {
                self.command(Command::TrackSetting { peer, track: number, setting });
            }
        }
    }

    /// Whose subscription of the track is in such a state.
    pub(crate) fn waiting(
        &self,
        id: TrackId,
        waits: impl Fn(Subscription) -> bool,
    ) -> impl Iterator<Item = PeerId> {
        self.participants.values().filter_map(move |participant| {
            let state = participant.wishes.subscriptions.get(&id)?;
            waits(*state).then_some(participant.peer)
        })
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
                Subscription::Asked(_) | Subscription::Flowing(_) | Subscription::AwaitingBackup => {}
            }
        }
    }

    /// A subscriber's path has no room for the track any more, or has it again.
    pub(crate) fn stream_state(&mut self, peer: PeerId, number: TrackId, paused: bool) {
        let Some(track) = self.tracks.get(&self.track_of(number)) else { return };
        let Some(owner) = self.participants.get(&track.owner) else { return };
        let state = if paused { StreamState::Paused } else { StreamState::Active };
        let info = StreamStateInfo {
            participant_sid: owner.sid.clone(),
            track_sid: track.info.sid.clone(),
            state: state.into(),
        };
        self.send(peer, Message::StreamStateUpdate(StreamStateUpdate { stream_states: vec![info] }));
    }
}
