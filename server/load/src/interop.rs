//! The media client against an independent one: the `webrtc` crate answers its offer and sends every packet back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_OPUS, MIME_TYPE_VP8};
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCIceGatheringState, RTCSessionDescription, Registry, register_default_interceptors,
};

use crate::client::{Incoming, MediaClient};
use crate::clock::Clock;
use crate::dtls::Identity;
use crate::measure::{Irregular, Meter, Packet, Window};
use crate::media::{Kind, Source};
use crate::sdp::{Section, Use, offer, parse_answer};
use crate::socket::{Batch, Socket};

const SSRC_BACK: [u32; 2] = [1_001, 1_002];

/// Sends each received packet back on the track of its kind.
struct Reflector {
    tracks: [Arc<dyn TrackLocal>; 2],
    gathered: tokio::sync::watch::Sender<bool>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Reflector {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.send_replace(true);
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let which = usize::from(track.kind().await == RtpCodecKind::Video);
        let back = Arc::clone(&self.tracks[which]);
        tokio::spawn(async move {
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(mut packet) = event {
                    packet.header.ssrc = SSRC_BACK[which];
                    packet.header.extension = false;
                    packet.header.extensions.clear();
                    if back.write_rtp(packet).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

fn track_back(which: usize) -> Arc<dyn TrackLocal> {
    let (kind, mime_type, clock_rate, channels) =
        [(RtpCodecKind::Audio, MIME_TYPE_OPUS, 48_000, 2), (RtpCodecKind::Video, MIME_TYPE_VP8, 90_000, 0)]
            [which];
    let codec = RTCRtpCodec { mime_type: mime_type.to_owned(), clock_rate, channels, ..Default::default() };
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(SSRC_BACK[which]), ..Default::default() },
        codec,
        ..Default::default()
    };
    Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new(
        format!("stream-{which}"),
        format!("track-{which}"),
        format!("label-{which}"),
        kind,
        vec![encoding],
    )))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_packet_comes_back_from_the_webrtc_crate() {
    let (gathered, mut is_gathered) = tokio::sync::watch::channel(false);
    let tracks = [track_back(0), track_back(1)];
    let reflector = Arc::new(Reflector { tracks: tracks.clone(), gathered });
    let mut media_engine = MediaEngine::default();
    media_engine.register_default_codecs().unwrap();
    let registry = register_default_interceptors(Registry::new(), &mut media_engine).unwrap();
    let peer = PeerConnectionBuilder::new()
        .with_configuration(RTCConfigurationBuilder::new().build())
        .with_media_engine(media_engine)
        .with_interceptor_registry(registry)
        .with_handler(reflector)
        .with_runtime(webrtc::runtime::default_runtime().unwrap())
        .with_udp_addrs(vec!["127.0.0.1:0".to_owned()])
        .build()
        .await
        .unwrap();
    for track in tracks {
        peer.add_track(track).await.unwrap();
    }

    let clock = Clock::start();
    let mut client = MediaClient::new(Identity::generate().unwrap(), 0, 2).unwrap();
    let audio = client.publish(Source::audio(0), "mic".to_owned()).unwrap();
    let video = client.publish(Source::video(0, 600, 25, 25), "cam".to_owned()).unwrap();
    let sections = [
        Section { kind: Kind::Audio, purpose: Use::Receive },
        Section { kind: Kind::Video, purpose: Use::Receive },
        Section { kind: Kind::Audio, purpose: Use::Send { cid: "mic".to_owned(), ssrc: audio } },
        Section { kind: Kind::Video, purpose: Use::Send { cid: "cam".to_owned(), ssrc: video } },
    ];
    let description =
        RTCSessionDescription::offer(offer(1, 1, &sections, &client.local_transport())).unwrap();
    peer.set_remote_description(description).await.unwrap();
    let answer = peer.create_answer(None).await.unwrap();
    peer.set_local_description(answer).await.unwrap();
    is_gathered.wait_for(|done| *done).await.unwrap();
    let answer = parse_answer(&peer.local_description().await.unwrap().sdp).unwrap();
    let sent = [None, None, Some("mic".to_owned()), Some("cam".to_owned())];
    client.accept(Instant::now(), &answer, &sent).unwrap();

    // As the other participant of a room of two would count the packets.
    let mut meter = Meter::new(1, 2);
    let sent = exchange(&mut client, &clock, &mut meter).await;
    peer.close().await.unwrap();

    assert_eq!(client.profile(), Some("AEAD_AES_128_GCM"));
    assert_eq!(meter.irregular, Irregular::default());
    assert_eq!([meter.received(0, Kind::Audio), meter.received(0, Kind::Video)], sent);
    assert!(sent[0] >= 40 && sent[1] >= 60, "{sent:?}");
    assert!(meter.video_delay.percentile(0.5).is_some_and(|delay| delay > 0 && delay < 1_000_000_000));
}

/// Runs the client over a real socket until 1 s of packets, counted from 0.5 s after connecting, has come back; gives how
/// many of each kind were sent in that second.
async fn exchange(client: &mut MediaClient, clock: &Clock, meter: &mut Meter) -> [u64; 2] {
    let socket = Socket::bind([127, 0, 0, 1].into()).unwrap();
    let mut batch = Batch::new();
    let mut window: Option<Window> = None;
    let mut sent_in_window = [0; 2];
    let give_up = Instant::now() + Duration::from_secs(20);
    while window.is_none_or(|window| clock.now_ns() < window.to_ns + 500_000_000) {
        assert!(Instant::now() < give_up, "connected: {}", client.profile().is_some());
        let due = client.next_deadline().unwrap_or(give_up).min(Instant::now() + Duration::from_millis(20));
        let _ = tokio::time::timeout_at(due.into(), socket.readable()).await;
        let mut connected = false;
        let _ = socket.receive(&mut batch, clock, |datagram| {
            let incoming =
                client.handle_datagram(Instant::now(), datagram.arrival_ns, datagram.from, datagram.bytes);
            match incoming.unwrap() {
                Incoming::Media { kind, ssrc, sequence_number, timestamp, packet, payload_at } => {
                    assert_eq!(ssrc, SSRC_BACK[usize::from(kind == Kind::Video)]);
                    let payload = &packet[payload_at..];
                    let arrival_ns = datagram.arrival_ns;
                    meter.record(&Packet { kind, ssrc, sequence_number, timestamp, payload, arrival_ns });
                }
                Incoming::Connected => connected = true,
                Incoming::Nothing => {}
            }
        });
        if connected {
            let from_ns = clock.now_ns() + 500_000_000;
            let open = Window { from_ns, to_ns: from_ns + 1_000_000_000 };
            meter.open(open);
            window = Some(open);
        }
        let send = |bytes: &[u8], to: SocketAddr| assert!(socket.send(bytes, to).unwrap());
        client
            .handle_timeout(Instant::now(), clock, |packet, bytes, to| {
                if window.is_some_and(|window| window.contains(packet.sent_ns)) {
                    sent_in_window[usize::from(packet.kind == Kind::Video)] += 1;
                }
                send(bytes, to);
            })
            .unwrap();
        while let Some((to, bytes)) = client.poll_transmit() {
            send(&bytes, to);
        }
    }
    sent_in_window
}
