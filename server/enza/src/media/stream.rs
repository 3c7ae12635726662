//! Media over TCP, for networks that let no UDP out: ICE-TCP (RFC 6544) with RFC 4571 frames, on the page's own port. Owns
//! one connection; understands nothing but lengths. To the media plane such a connection is one more address.

use super::{MediaThreads, Outbox, RelayHandle, relay};
use bytes::{Buf as _, BytesMut};
use sfu::rtp::framing::{Cut, HEAD, cut};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

/// A frame begins with its length, of which the first byte is at most this: a STUN message, which comes first, has at most
/// 1,280 bytes. TLS begins with 0x16, HTTP with a letter.
pub(crate) const FRAME: u8 = 0x05;

/// Bytes of one frame. Nothing on the media port is longer than an Ethernet frame.
const FRAME_MAX: usize = 2048;

/// Frames that wait for the connection. Higher: a slow line hears what is long past; lower: key frames are cut.
const OUTBOX: usize = 256;

/// Bytes that the kernel keeps for a slow line. Higher: as above; lower: far away, less than the line carries.
const KERNEL_BUFFER: usize = 128 << 10;

/// Nothing is answered to somebody who is in no call. So long is waited for the first answer, and so many frames may come before
/// it: they take places in the shard's inbox from everybody else's. Higher: a stranger takes more; lower: a browser far away,
/// which checks several times before the first answer reaches it, is cut off.
const PROOF_PATIENCE: Duration = Duration::from_secs(10);
const FRAMES_UNPROVEN: usize = 64;

/// A connection from which nothing comes for this long is gone. Browsers check one that they keep in reserve every 25 s.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// One write may take so long.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// What a connection tells the media thread.
pub(crate) enum StreamInput {
    Opened { address: SocketAddr, outbox: Outbox },
    Datagram { address: SocketAddr, datagram: Vec<u8> },
    Closed { address: SocketAddr },
}

/// What is written to this connection waits no longer in the kernel than it is of use.
pub(super) fn keep_short(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_send_buffer_size(KERNEL_BUFFER);
}

/// Carries one connection to its end: frames, or the relay's messages, which begin likewise.
pub(crate) async fn carry(
    mut stream: TcpStream,
    peer: SocketAddr,
    threads: MediaThreads,
    relay: RelayHandle,
    mut stopping: watch::Receiver<bool>,
) {
    keep_short(&stream);
    let begun = Instant::now();
    let mut buffer = BytesMut::with_capacity(FRAME_MAX);
    let for_relay = loop {
        if let Some(first) = buffer.first_chunk() {
            break turn::begins_stream(*first);
        }
        match timeout_at(begun + PROOF_PATIENCE, stream.read_buf(&mut buffer)).await {
            Ok(Ok(1..)) => {}
            _ => return,
        }
    };
    if for_relay {
        return relay::carry(stream, buffer, peer, relay, stopping).await;
    }
    let address = threads.connection(peer);
    let (mut reader, mut writer) = stream.into_split();
    // The first frame is a check, and says which shard the connection is for.
    let first = loop {
        match take_frame(&mut buffer) {
            Frame::Whole(datagram) => break datagram,
            Frame::Partial => {}
            Frame::TooLong => return,
        }
        match timeout_at(begun + PROOF_PATIENCE, reader.read_buf(&mut buffer)).await {
            Ok(Ok(1..)) => {}
            _ => return,
        }
    };
    let Some(media) = threads.for_datagram(&first) else { return };
    let (sender, outbox) = mpsc::channel(OUTBOX);
    let opened = media.stream(StreamInput::Opened { address, outbox: Outbox::Connection(sender) });
    if !opened || !media.stream(StreamInput::Datagram { address, datagram: first }) {
        return;
    }
    let (proof, proven) = watch::channel(false);
    let reading = async {
        // The first one was taken already.
        let mut unproven = 1;
        loop {
            loop {
                match take_frame(&mut buffer) {
                    Frame::Whole(datagram) if datagram.is_empty() => {}
                    // A full inbox drops, as a full socket does.
                    Frame::Whole(datagram) => {
                        unproven += usize::from(!*proven.borrow());
                        if unproven > FRAMES_UNPROVEN {
                            return;
                        }
                        media.stream(StreamInput::Datagram { address, datagram });
                    }
                    Frame::Partial => break,
                    Frame::TooLong => return,
                }
            }
            let until = if *proven.borrow() { Instant::now() + SILENCE_MAX } else { begun + PROOF_PATIENCE };
            match timeout_at(until, reader.read_buf(&mut buffer)).await {
                Ok(Ok(1..)) => {}
                // It may have been answered while nothing came.
                Err(_) if *proven.borrow() && until < begun + SILENCE_MAX => {}
                _ => return,
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = write(&mut writer, outbox, proof) => {}
        () = crate::server::raised(&mut stopping) => {}
    }
    media.stream(StreamInput::Closed { address });
}

/// Writes what the media thread sends, as much at once as waits.
async fn write(
    writer: &mut tokio::net::tcp::OwnedWriteHalf,
    mut outbox: mpsc::Receiver<Box<[u8]>>,
    proof: watch::Sender<bool>,
) {
    let mut frames = Vec::with_capacity(FRAME_MAX);
    let mut waiting = Vec::new();
    while outbox.recv_many(&mut waiting, OUTBOX).await > 0 {
        frames.clear();
        for datagram in waiting.drain(..) {
            let Ok(length) = u16::try_from(datagram.len()) else { continue };
            frames.extend_from_slice(&length.to_be_bytes());
            frames.extend_from_slice(&datagram);
        }
        if !matches!(timeout(WRITE_PATIENCE, writer.write_all(&frames)).await, Ok(Ok(()))) {
            return;
        }
        proof.send_replace(true);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Frame {
    Whole(Vec<u8>),
    Partial,
    TooLong,
}

/// Takes the next frame (RFC 4571 §2) off `buffer`.
fn take_frame(buffer: &mut BytesMut) -> Frame {
    match cut(buffer, FRAME_MAX) {
        Cut::Whole { length } => {
            buffer.advance(HEAD);
            Frame::Whole(buffer.split_to(length).to_vec())
        }
        Cut::Partial { missing } => {
            buffer.reserve(missing);
            Frame::Partial
        }
        Cut::TooLong => Frame::TooLong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_wherever_the_stream_was() {
        let mut buffer = BytesMut::new();
        let stream = [0, 3, b'a', b'b', b'c', 0, 0, 0, 1, b'd'];
        let mut frames = Vec::new();
        for byte in stream {
            buffer.extend_from_slice(&[byte]);
            while let Frame::Whole(frame) = take_frame(&mut buffer) {
                frames.push(frame);
            }
        }
        assert_eq!(frames, [b"abc".to_vec(), Vec::new(), b"d".to_vec()]);
        buffer.extend_from_slice(&[0x16, 3]);
        assert_eq!(take_frame(&mut buffer), Frame::TooLong);
    }

    /// What a shard is told of a connection that brings `frames` after its first one, and whether the connection stands then.
    async fn told(answered: bool, frames: usize) -> (usize, bool) {
        let (mut media, _held) = super::super::handle_for_tests();
        let (streams, inbox) = std::sync::mpsc::sync_channel(2000);
        media.streams = streams;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let (relay, _relay_inbox) = relay();
        let (_stop, stopping) = watch::channel(false);
        let carried = tokio::spawn(carry(stream, peer, MediaThreads::new([media]), relay, stopping));
        // A check (RFC 8489 section 5) that names the first shard and nobody on it.
        let check =
            [&[0, 32, 0, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12], &[0, 6, 0, 5], b"Axy:z\0\0\0"];
        client.write_all(&check.concat()).await.unwrap();
        let next = async || loop {
            match inbox.try_recv() {
                Ok(input) => return input,
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        // Held to the end: without it the connection would end.
        let StreamInput::Opened { outbox: Outbox::Connection(outbox), .. } = next().await else { panic!() };
        if answered {
            outbox.try_send(b"answer".as_slice().into()).unwrap();
            client.read_exact(&mut [0; 8]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        client.write_all(&[0, 1, b'x'].repeat(frames)).await.unwrap();
        let mut datagrams = 0;
        while datagrams <= frames {
            match timeout(Duration::from_millis(500), next()).await {
                Ok(StreamInput::Datagram { .. }) => datagrams += 1,
                _ => break,
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        (datagrams, !carried.is_finished())
    }

    #[tokio::test]
    async fn who_proved_nothing_brings_few_frames() {
        assert_eq!(told(false, FRAMES_UNPROVEN - 1).await, (FRAMES_UNPROVEN, true));
        assert_eq!(told(false, 1000).await, (FRAMES_UNPROVEN, false));
        assert_eq!(told(true, 1000).await, (1001, true));
    }
}
