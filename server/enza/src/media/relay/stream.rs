//! One client's connection to the relay, over TLS or plain TCP. Owns the socket; understands where messages end.

use super::super::stream::keep_short;
use super::{Input, RelayHandle};
use crate::server::raised;
use bytes::{Buf as _, BytesMut};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
    WriteHalf,
};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::server::TlsStream;
use turn::{Cut, MESSAGE_MAX, cut};

/// Messages that wait for the connection. Higher: a slow line hears what is long past; lower: key frames are cut.
const OUTBOX: usize = 256;

/// So long is waited for an allocation, and so many messages may come before it. A browser needs two; somebody who wants to
/// know their address, one.
const PROOF_PATIENCE: Duration = Duration::from_secs(10);
const MESSAGES_UNPROVEN: usize = 32;

/// A connection from which nothing comes for this long is gone: an allocation must be refreshed more often.
const SILENCE_MAX: Duration = Duration::from_secs(660);

/// One write may take so long.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// What was found behind a TLS handshake.
pub(crate) enum Behind<S> {
    Http(S),
    Relay(S),
    Nothing,
}

/// Looks at the first byte and takes none: the relay's first message is a request, whose first byte is 0; HTTP begins with a
/// letter.
pub(crate) async fn behind_tls<S: AsyncBufRead + Unpin>(mut stream: S) -> Behind<S> {
    match stream.fill_buf().await {
        Ok([0, ..]) => Behind::Relay(stream),
        Ok([_, ..]) => Behind::Http(stream),
        _ => Behind::Nothing,
    }
}

/// Carries one TLS connection to its end.
pub(crate) async fn carry_tls(
    stream: TlsStream<TcpStream>,
    peer: SocketAddr,
    relay: RelayHandle,
    stopping: watch::Receiver<bool>,
) {
    keep_short(stream.get_ref().0);
    carry(stream, BytesMut::new(), peer, relay, stopping).await;
}

/// Carries one connection to its end; `begun`: what was read of it already.
pub(crate) async fn carry(
    stream: impl AsyncRead + AsyncWrite,
    mut begun: BytesMut,
    peer: SocketAddr,
    relay: RelayHandle,
    mut stopping: watch::Receiver<bool>,
) {
    let client = relay.client(SocketAddr::new(peer.ip().to_canonical(), peer.port()));
    let (reader, writer) = tokio::io::split(stream);
    let (sender, outbox) = mpsc::channel(OUTBOX);
    let (proof, proven) = watch::channel(false);
    if relay.inputs.send(Input::Opened { client, outbox: sender, proof }).await.is_err() {
        return;
    }
    let reading = async {
        let mut reader = std::pin::pin!(reader);
        let (opened, mut unproven) = (Instant::now(), 0);
        loop {
            loop {
                match cut(&begun) {
                    Cut::Whole { length, taken } => {
                        let message = begun.get(..length).unwrap_or_default().to_vec();
                        begun.advance(taken);
                        unproven += usize::from(!*proven.borrow());
                        if unproven > MESSAGES_UNPROVEN
                            || relay.inputs.send(Input::Message { client, message }).await.is_err()
                        {
                            return;
                        }
                    }
                    Cut::Partial => break,
                    Cut::Broken => return,
                }
            }
            begun.reserve(MESSAGE_MAX);
            let until = if *proven.borrow() { Instant::now() + SILENCE_MAX } else { opened + PROOF_PATIENCE };
            match timeout_at(until, reader.read_buf(&mut begun)).await {
                Ok(Ok(1..)) => {}
                // It may have got its allocation while nothing came.
                Err(_) if *proven.borrow() && until < opened + SILENCE_MAX => {}
                _ => return,
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = write(writer, outbox) => {}
        () = raised(&mut stopping) => {}
    }
    let _ = relay.inputs.send(Input::Closed { client }).await;
}

/// Writes what the relay sends, as much at once as waits.
async fn write(mut writer: WriteHalf<impl AsyncWrite>, mut outbox: mpsc::Receiver<Vec<u8>>) {
    let (mut bytes, mut waiting) = (Vec::with_capacity(MESSAGE_MAX), Vec::new());
    while outbox.recv_many(&mut waiting, OUTBOX).await > 0 {
        bytes.clear();
        for message in waiting.drain(..) {
            bytes.extend_from_slice(&message);
        }
        let writing = async {
            writer.write_all(&bytes).await?;
            writer.flush().await
        };
        if !matches!(timeout(WRITE_PATIENCE, writing).await, Ok(Ok(()))) {
            return;
        }
    }
}
