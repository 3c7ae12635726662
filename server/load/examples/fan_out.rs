//! The floor under a server that forwards: what the kernel alone takes for one publisher's video frame to each of the
//! others in the room, with one message per packet and with one message per receiver (UDP GSO), from one socket and from
//! a connected socket per receiver.
//!
//! `cargo run --release -p load --example fan_out`; pin it with `taskset`. The ways take turns, so that other work on the
//! machine meets all of them. Loopback only.

use std::io::{IoSlice, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};

/// A room of 10 as each of its publishers sees it.
const RECEIVERS: usize = 9;
/// 600 kbit/s at 25 frames per second.
const PACKETS_PER_FRAME: usize = 3;
/// A video packet with its RTP header, extensions and tag.
const PACKET_LEN: usize = 1_040;
/// Frames between two pauses in which the receivers are emptied. Higher: their buffers overflow, and a dropped packet
/// costs the kernel less than a delivered one.
const FRAMES_PER_ROUND: usize = 10;
const PAUSE: Duration = Duration::from_millis(3);
/// Rounds per figure, and figures per way: the middle one is shown.
const ROUNDS: usize = 150;
const FIGURES: usize = 9;

/// How a frame leaves.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    /// Packets to one receiver in each message.
    run: usize,
    /// A socket for each receiver, and a system call.
    connected: bool,
}

const WAYS: [Way; 5] = [
    Way { name: "one socket, a message per packet", run: 1, connected: false },
    Way { name: "one socket, UDP GSO, 1 + 2 packets", run: 2, connected: false },
    Way { name: "one socket, UDP GSO, 3 packets", run: 3, connected: false },
    Way { name: "connected sockets, a message per packet", run: 1, connected: true },
    Way { name: "connected sockets, UDP GSO, 3 packets", run: 3, connected: true },
];

fn main() -> Result<()> {
    let receivers: Vec<UdpSocket> =
        (0..RECEIVERS).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let targets: Vec<SocketAddr> = receivers.iter().map(UdpSocket::local_addr).collect::<Result<_, _>>()?;
    let over = Arc::new(AtomicBool::new(false));
    let drain = {
        let over = over.clone();
        std::thread::spawn(move || empty(&receivers, &over))
    };
    let one = vec![UdpSocket::bind("127.0.0.1:0")?];
    let connected = targets
        .iter()
        .map(|target| {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(target)?;
            Ok(socket)
        })
        .collect::<std::io::Result<Vec<_>>>()?;
    let mut figures = WAYS.map(|_| Vec::new());
    for _ in 0..FIGURES {
        for (way, figures) in WAYS.iter().zip(&mut figures) {
            figures.push(measure(*way, if way.connected { &connected } else { &one }, &targets)?);
        }
    }
    over.store(true, Ordering::Relaxed);
    let received = drain.join().map_err(|_| anyhow::anyhow!("a receiver failed"))??;
    let sent = WAYS.len() * FIGURES * ROUNDS * FRAMES_PER_ROUND * RECEIVERS * PACKETS_PER_FRAME;
    let mut out = std::io::stdout();
    for (way, mut figures) in WAYS.iter().zip(figures) {
        figures.sort_unstable();
        writeln!(
            out,
            "{:<40} {:>6} ns per packet (best {})",
            way.name,
            figures[FIGURES / 2],
            figures.first().context("no figure")?
        )?;
    }
    writeln!(out, "{received} of {sent} packets were received")?;
    Ok(())
}

/// Nanoseconds of processor time per packet.
fn measure(way: Way, senders: &[UdpSocket], targets: &[SocketAddr]) -> Result<u64> {
    let payload = vec![7; PACKET_LEN * PACKETS_PER_FRAME];
    // Of one frame to one receiver: what is left over, then whole runs.
    let mut lengths = vec![PACKETS_PER_FRAME % way.run];
    lengths.extend(std::iter::repeat_n(way.run, PACKETS_PER_FRAME / way.run));
    lengths.retain(|packets| *packets > 0);
    let segment = PACKET_LEN as u16;
    let cut = [ControlMessage::UdpGsoSegments(&segment)];
    // Room for a control message that is not filled in is refused.
    let mut plain = MultiHeaders::preallocate(targets.len(), None);
    let mut segmented = MultiHeaders::preallocate(targets.len(), Some(nix::cmsg_space!(u16)));
    let mut send =
        |sender: &UdpSocket, addresses: &[Option<SockaddrStorage>], packets: usize| -> Result<()> {
            let slices = vec![[IoSlice::new(&payload[..packets * PACKET_LEN])]; addresses.len()];
            let (headers, controls) =
                if packets > 1 { (&mut segmented, &cut[..]) } else { (&mut plain, &[][..]) };
            let sent =
                sendmmsg(sender.as_raw_fd(), headers, slices.iter(), addresses, controls, MsgFlags::empty())?;
            anyhow::ensure!(sent.count() == addresses.len(), "the kernel took a part of a batch");
            Ok(())
        };
    let addresses: Vec<Option<SockaddrStorage>> =
        targets.iter().map(|&target| (!way.connected).then(|| target.into())).collect();
    let share = addresses.len() / senders.len();
    std::thread::sleep(PAUSE);
    let before = processor_ns()?;
    for _ in 0..ROUNDS {
        for _ in 0..FRAMES_PER_ROUND {
            for &packets in &lengths {
                for (sender, addresses) in senders.iter().zip(addresses.chunks(share)) {
                    send(sender, addresses, packets)?;
                }
            }
        }
        std::thread::sleep(PAUSE);
    }
    let spent = processor_ns()? - before;
    Ok(spent / (ROUNDS * FRAMES_PER_ROUND * PACKETS_PER_FRAME * targets.len()) as u64)
}

/// Processor time of this thread, user and system, up to its last sleep: the kernel brings the figure up to date when
/// a thread leaves the processor.
fn processor_ns() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split(' ').next().context("an empty schedstat")?.parse()?)
}

/// Reads everything until `over`, and says how many packets that were.
fn empty(receivers: &[UdpSocket], over: &AtomicBool) -> std::io::Result<u64> {
    let mut buffer = [0; 2 * PACKET_LEN];
    let mut received = 0;
    for receiver in receivers {
        receiver.set_nonblocking(true)?;
    }
    while !over.load(Ordering::Relaxed) {
        for receiver in receivers {
            while receiver.recv(&mut buffer).is_ok() {
                received += 1;
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(received)
}
