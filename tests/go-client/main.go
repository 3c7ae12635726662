// A real client of LiveKit's protocol v0 (two peer connections): two participants of the Go SDK in one room.
// Reads LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET; closes with "N passed, N failed".
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
)

// How long anything may take. Far more than it should: a slow machine fails nothing.
const patience = 15 * time.Second

// Every sample carries this and a counter; the receiver counts what arrives whole.
var marker = []byte("enza go client sample ")

var passed, failed int

func check(what string, ok bool, detail string) {
	word := "pass"
	if ok {
		passed++
	} else {
		failed++
		word = "FAIL"
	}
	fmt.Printf("%s  %s  %s\n", word, what, detail)
}

// within waits until the condition holds.
func within(condition func() bool) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if condition() {
			return true
		}
	}
	return condition()
}

// ear is what one participant noticed.
type ear struct {
	audio, video           atomic.Int64
	muted, unmuted, ended  atomic.Int64
	reliable, lossy, left  atomic.Int64
	joined, resumed, again atomic.Int64
}

func (e *ear) callback() *lksdk.RoomCallback {
	callback := lksdk.NewRoomCallback()
	callback.OnParticipantConnected = func(*lksdk.RemoteParticipant) { e.joined.Add(1) }
	callback.OnParticipantDisconnected = func(*lksdk.RemoteParticipant) { e.left.Add(1) }
	callback.OnReconnecting = func() { e.again.Add(1) }
	callback.OnReconnected = func() { e.resumed.Add(1) }
	callback.OnTrackMuted = func(lksdk.TrackPublication, lksdk.Participant) { e.muted.Add(1) }
	callback.OnTrackUnmuted = func(lksdk.TrackPublication, lksdk.Participant) { e.unmuted.Add(1) }
	callback.OnTrackUnsubscribed = func(*webrtc.TrackRemote, *lksdk.RemoteTrackPublication, *lksdk.RemoteParticipant) {
		e.ended.Add(1)
	}
	callback.OnTrackSubscribed = func(track *webrtc.TrackRemote, _ *lksdk.RemoteTrackPublication, _ *lksdk.RemoteParticipant) {
		count := &e.audio
		if track.Kind() == webrtc.RTPCodecTypeVideo {
			count = &e.video
		}
		go func() {
			for {
				packet, _, err := track.ReadRTP()
				if err != nil {
					return
				}
				if bytes.Contains(packet.Payload, marker) {
					count.Add(1)
				}
			}
		}()
	}
	callback.OnDataPacket = func(data lksdk.DataPacket, _ lksdk.DataReceiveParams) {
		packet, ok := data.(*lksdk.UserDataPacket)
		switch {
		case ok && string(packet.Payload) == "reliable":
			e.reliable.Add(1)
		case ok && string(packet.Payload) == "lossy":
			e.lossy.Add(1)
		}
	}
	return callback
}

func join(room, identity string, e *ear) (*lksdk.Room, error) {
	grant := &auth.VideoGrant{RoomJoin: true, Room: room}
	token, err := auth.NewAccessToken(os.Getenv("LIVEKIT_API_KEY"), os.Getenv("LIVEKIT_API_SECRET")).
		SetVideoGrant(grant).SetIdentity(identity).SetValidFor(time.Hour).ToJWT()
	if err != nil {
		return nil, err
	}
	return lksdk.ConnectToRoomWithToken(os.Getenv("LIVEKIT_URL"), token, e.callback())
}

// play sends one sample per period until stop is closed.
func play(track *lksdk.LocalTrack, period time.Duration, head func(n uint32) []byte, stop chan struct{}) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for n := uint32(0); ; n++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		sample := binary.BigEndian.AppendUint32(append(head(n), marker...), n)
		_ = track.WriteSample(media.Sample{Data: sample, Duration: period}, nil)
	}
}

// opus: one frame of CELT, wideband, 20 ms; nobody decodes it here.
func opus(uint32) []byte { return []byte{0xb8} }

// vp8: every tenth a key frame of 64 by 48 pixels (RFC 6386, section 9.1).
func vp8(n uint32) []byte {
	if n%10 == 0 {
		return []byte{0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 64, 0, 48, 0}
	}
	return []byte{0x11, 0x02, 0x00}
}

func publish(room *lksdk.Room, mime string, clock uint32, channels uint16, source livekit.TrackSource,
	period time.Duration, head func(uint32) []byte, stop chan struct{}) (*lksdk.LocalTrackPublication, error) {
	codec := webrtc.RTPCodecCapability{MimeType: mime, ClockRate: clock, Channels: channels}
	track, err := lksdk.NewLocalTrack(codec)
	if err != nil {
		return nil, err
	}
	options := &lksdk.TrackPublicationOptions{Name: mime, Source: source, VideoWidth: 64, VideoHeight: 48}
	publication, err := room.LocalParticipant.PublishTrack(track, options)
	if err == nil {
		go play(track, period, head, stop)
	}
	return publication, err
}

func story() {
	room := fmt.Sprintf("go-%d", time.Now().UnixNano())
	var ann, ben ear
	a, err := join(room, "ann", &ann)
	check("ann joins by /rtc", err == nil, fmt.Sprint(err))
	if err != nil {
		return
	}
	defer a.Disconnect()
	b, err := join(room, "ben", &ben)
	check("ben joins by /rtc", err == nil, fmt.Sprint(err))
	if err != nil {
		return
	}
	defer b.Disconnect()
	check("ann hears of ben", within(func() bool { return ann.joined.Load() == 1 }), "")

	stop := make(chan struct{})
	defer close(stop)
	voice, err := publish(a, webrtc.MimeTypeOpus, 48000, 2, livekit.TrackSource_MICROPHONE, 20*time.Millisecond, opus, stop)
	check("ann publishes sound", err == nil, fmt.Sprint(err))
	picture, err2 := publish(a, webrtc.MimeTypeVP8, 90000, 0, livekit.TrackSource_CAMERA, 33*time.Millisecond, vp8, stop)
	check("ann publishes a picture", err2 == nil, fmt.Sprint(err2))
	if err != nil || err2 != nil {
		return
	}
	heard := within(func() bool { return ben.audio.Load() > 50 && ben.video.Load() > 20 })
	check("both reach ben", heard, fmt.Sprintf("%d and %d whole packets", ben.audio.Load(), ben.video.Load()))

	_, err = publish(b, webrtc.MimeTypeOpus, 48000, 2, livekit.TrackSource_MICROPHONE, 20*time.Millisecond, opus, stop)
	check("ben publishes too", err == nil, fmt.Sprint(err))
	check("it reaches ann", within(func() bool { return ann.audio.Load() > 50 }), fmt.Sprint(ann.audio.Load()))

	for _, reliable := range []bool{true, false} {
		word := map[bool]string{true: "reliable", false: "lossy"}[reliable]
		send := func(from *lksdk.Room) error {
			return from.LocalParticipant.PublishDataPacket(lksdk.UserData([]byte(word)), lksdk.WithDataPublishReliable(reliable))
		}
		err, err2 = send(a), send(b)
		check("data, "+word+", leaves", err == nil && err2 == nil, fmt.Sprint(err, err2))
		got := func(e *ear) int64 {
			if reliable {
				return e.reliable.Load()
			}
			return e.lossy.Load()
		}
		check("data, "+word+", arrives both ways", within(func() bool { return got(&ann) == 1 && got(&ben) == 1 }),
			fmt.Sprintf("%d and %d", got(&ann), got(&ben)))
	}

	voice.SetMuted(true)
	check("ben hears of the mute", within(func() bool { return ben.muted.Load() == 1 }), "")
	time.Sleep(300 * time.Millisecond)
	before := ben.audio.Load()
	time.Sleep(500 * time.Millisecond)
	check("nothing of a muted track arrives", ben.audio.Load() == before, fmt.Sprint(ben.audio.Load()-before))
	voice.SetMuted(false)
	check("ben hears of its end", within(func() bool { return ben.unmuted.Load() == 1 }), "")
	check("sound goes on", within(func() bool { return ben.audio.Load() > before+20 }), "")

	err = a.LocalParticipant.UnpublishTrack(picture.SID())
	check("ann takes the picture away", err == nil, fmt.Sprint(err))
	check("it ends for ben", within(func() bool { return ben.ended.Load() == 1 }), "")
	before = ben.video.Load()
	_, err = publish(a, webrtc.MimeTypeVP8, 90000, 0, livekit.TrackSource_CAMERA, 33*time.Millisecond, vp8, stop)
	check("ann publishes another", err == nil, fmt.Sprint(err))
	check("it reaches ben", within(func() bool { return ben.video.Load() > before+20 }),
		fmt.Sprintf("%d whole packets", ben.video.Load()-before))

	b.Simulate(lksdk.SimulateSignalReconnect)
	resumed := within(func() bool { return ben.resumed.Load() == 1 })
	check("ben resumes", resumed, "")
	before = ben.audio.Load()
	check("and hears on", within(func() bool { return ben.audio.Load() > before+50 }), fmt.Sprint(ben.audio.Load()-before))

	a.Disconnect()
	check("ben hears that ann left", within(func() bool { return ben.left.Load() == 1 }), "")
}

func main() {
	story()
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}
