#!/usr/bin/env python3
"""LiveKit's own server library (PyPI livekit-api, unmodified) drives the server API, with real clients in the room.

Usage: room_service.py [--install]    with the variables and the folder of the acceptance checks, whose clients it uses (ENZA_ACCEPTANCE).
"""
import os
import sys
from pathlib import Path

sys.path.insert(0, os.environ.get("ENZA_ACCEPTANCE") or str(Path(__file__).parents[2] / "shared/acceptance"))
import bootstrap  # noqa: E402  (first: it restarts the script in the cached environment)

bootstrap.ensure(Path(__file__).with_suffix(".txt"))
if "--install" in sys.argv:
    sys.exit(0)  # where the server runs there may be no network to install from
import asyncio  # noqa: E402

from livekit import api  # noqa: E402
from roomkit import KEY, SECRET, URL, Checks, Client, fresh_room, run, seconds, until  # noqa: E402

from circle import arrives  # noqa: E402

HERTZ = 440
checks = Checks()
check = checks.check


async def refused(call) -> tuple[str, int]:
    """The Twirp code and the status with which a call is refused."""
    try:
        await call
    except api.TwirpError as error:
        return error.code, error.status
    return "ok", 200


async def main() -> None:
    room = fresh_room("service")
    async with api.LiveKitAPI(URL.replace("ws", "http", 1), KEY, SECRET) as lk:
        made = await lk.room.create_room(api.CreateRoomRequest(name=room, metadata="first", empty_timeout=60))
        check("CreateRoom", made.name == room and made.sid.startswith("RM_") and made.empty_timeout == 60, made.sid)
        listed = await lk.room.list_rooms(api.ListRoomsRequest(names=[room]))
        check("ListRooms", [one.sid for one in listed.rooms] == [made.sid])
        ann, ben = Client("ann", room), Client("ben", room)
        for client in (ann, ben):
            await client.join()
        got = []
        ben.room.on("data_received", lambda packet: got.append((packet.data, packet.topic)))
        await ann.publish_tone(HERTZ, "tone")
        heard = await until(lambda: "ann" in ben.audio and ben.audio["ann"].share(HERTZ) > 0.8, 8)
        check("two clients meet in it", heard is not None, seconds(heard))
        people = await lk.room.list_participants(api.ListParticipantsRequest(room=room))
        check("ListParticipants", {one.identity for one in people.participants} == {"ann", "ben"})
        one = await lk.room.get_participant(api.RoomParticipantIdentity(room=room, identity="ann"))
        track = next((track for track in one.tracks if track.name == "tone"), None)
        check("GetParticipant shows the track", track is not None)

        mute = api.MuteRoomTrackRequest(room=room, identity="ann", track_sid=track.sid, muted=True)
        muted = await lk.room.mute_published_track(mute)
        await asyncio.sleep(0.5)
        count = await arrives(ben, "tone", "ann")
        check("MutePublishedTrack: zero packets", muted.track.muted and count == 0, f"{count} packets in 1.5 s")
        unmute = api.MuteRoomTrackRequest(room=room, identity="ann", track_sid=track.sid, muted=False)
        code = await refused(lk.room.mute_published_track(unmute))
        check("nobody opens anybody's microphone", code == ("failed_precondition", 412), str(code))
        ann.published["tone"][0].unmute()
        count = await arrives(ben, "tone", "ann")
        check("but the owner does", count > 0, f"{count} packets")

        for subscribe in (False, True):
            change = api.UpdateSubscriptionsRequest(
                room=room, identity="ben", track_sids=[track.sid], subscribe=subscribe)
            await lk.room.update_subscriptions(change)
            await asyncio.sleep(0.5)
            count = await arrives(ben, "tone", "ann")
            check(f"UpdateSubscriptions: {subscribe}", (count > 0) == subscribe, f"{count} packets in 1.5 s")
        send = api.SendDataRequest(room=room, data=b"hello", kind=api.DataPacket.Kind.RELIABLE, topic="greeting")
        await lk.room.send_data(send)
        came = await until(lambda: (b"hello", "greeting") in got, 5)
        check("SendData", came is not None, seconds(came))
        await lk.room.update_room_metadata(api.UpdateRoomMetadataRequest(room=room, metadata='{"topic":"tea"}'))
        shown = await until(lambda: '"topic":"tea"' in (ben.room.metadata or ""), 5)
        check("UpdateRoomMetadata, the circle's part is kept", shown is not None and '"enza"' in ben.room.metadata)
        change = api.UpdateParticipantRequest(room=room, identity="ann", name="Anna", attributes={"seat": "3"})
        await lk.room.update_participant(change)
        shown = await until(lambda: ben.room.remote_participants["ann"].attributes.get("seat") == "3", 5)
        check("UpdateParticipant", shown is not None and ben.room.remote_participants["ann"].name == "Anna")
        permission = api.ParticipantPermission(can_subscribe=True, can_publish=False, can_publish_data=True)
        await lk.room.update_participant(
            api.UpdateParticipantRequest(room=room, identity="ann", permission=permission))
        gone = await until(lambda: not ben.room.remote_participants["ann"].track_publications, 5)
        check("who may not publish any more publishes nothing", gone is not None, seconds(gone))

        await lk.room.remove_participant(api.RoomParticipantIdentity(room=room, identity="ann"))
        told = await until(lambda: any(event.startswith("disconnected") for _, event, _ in ann.events), 5)
        check("RemoveParticipant", told is not None, seconds(told))
        code = await refused(lk.room.get_participant(api.RoomParticipantIdentity(room=room, identity="ann")))
        check("who is not there is not_found", code == ("not_found", 404), str(code))
        await lk.room.delete_room(api.DeleteRoomRequest(room=room))
        told = await until(lambda: any(event.startswith("disconnected") for _, event, _ in ben.events), 5)
        check("DeleteRoom", told is not None, seconds(told))
        code = await refused(lk.room.list_participants(api.ListParticipantsRequest(room=room)))
        check("a room that is over is not_found", code == ("not_found", 404), str(code))
        for client in (ann, ben):
            await client.leave()
    async with api.LiveKitAPI(URL.replace("ws", "http", 1), KEY, "x" * 32) as stranger:
        code = await refused(stranger.room.list_rooms(api.ListRoomsRequest()))
        check("another key is unauthenticated", code == ("unauthenticated", 401), str(code))


if __name__ == "__main__":
    run(main(), checks, 90)
