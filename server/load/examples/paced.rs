//! The floor under a server at the pace of real rooms: a bare reflector takes what every participant of rooms of ten
//! sends (600 kbit/s of picture, Opus) and sends it to the nine others with `recvmmsg` and `sendmmsg` alone: no
//! encryption, no rewriting, no feedback. What it costs per packet is what the kernel takes, sleeping and waking
//! included; `enza load` prints the same figure of a server.
//!
//! `cargo run --release -p load --example paced [ROOMS]`. The reflector stays on the first processor, the participants
//! on the second; they never sleep, so that the reflector pays for no wake-up of theirs. Loopback only, 5 s per way.

use std::io::{IoSlice, IoSliceMut, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use nix::unistd::Pid;

/// People in a room.
const PEOPLE: usize = 10;
/// 600 kbit/s at 25 frames per second, as in `fan_out`.
const PACKETS_PER_FRAME: u32 = 3;
const FRAME_INTERVAL: Duration = Duration::from_millis(40);
const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
/// With RTP header, extensions and tag, as `enza load` sends them.
const VIDEO_LEN: usize = 1_040;
const AUDIO_LEN: usize = 116;
/// Datagrams of one read, as many as the server takes.
const READ: usize = 64;
const TIME: Duration = Duration::from_secs(5);
/// Each way is measured as often, in turns.
const FIGURES: usize = 3;

/// A packet begins with the number of who sent it.
const NUMBER_LEN: usize = 2;
/// The number that ends the reflector.
const OVER: u16 = u16::MAX;

fn main() -> Result<()> {
    let rooms: usize = std::env::args().nth(1).map_or(Ok(8), |text| text.parse())?;
    ensure!((1..=100).contains(&rooms), "1 to 100 rooms");
    let mut figures = [Vec::new(), Vec::new()];
    for _ in 0..FIGURES {
        for (runs, figures) in [false, true].into_iter().zip(&mut figures) {
            figures.push(measure(rooms, runs)?);
        }
    }
    let mut out = std::io::stdout();
    for (name, mut figures) in
        ["a message per packet", "UDP GSO where a frame's packets came together"].into_iter().zip(figures)
    {
        figures.sort_by_key(|figure| figure.nanoseconds);
        let Figure { nanoseconds, forwarded, received } = figures[FIGURES / 2];
        writeln!(
            out,
            "{name:<46} {nanoseconds:>6} ns per forwarded packet ({received} of {forwarded} received)"
        )?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Figure {
    nanoseconds: u64,
    forwarded: u64,
    received: u64,
}

fn measure(rooms: usize, runs: bool) -> Result<Figure> {
    let people: Vec<UdpSocket> =
        (0..rooms * PEOPLE).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let addresses: Vec<SocketAddr> = people.iter().map(UdpSocket::local_addr).collect::<Result<_, _>>()?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let at = socket.local_addr()?;
    let reflector = std::thread::spawn(move || {
        stay_on(0)?;
        reflect(&socket, &addresses, runs)
    });
    stay_on(1)?;
    let received = take_part(&people, at)?;
    let (spent, forwarded) = reflector.join().map_err(|_| anyhow::anyhow!("the reflector failed"))??;
    Ok(Figure { nanoseconds: spent / forwarded.max(1), forwarded, received })
}

fn stay_on(processor: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(processor)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Everybody's part: sends on time, reads whatever comes, and says how much that was.
fn take_part(people: &[UdpSocket], at: SocketAddr) -> Result<u64> {
    for person in people {
        person.connect(at)?;
        person.set_nonblocking(true)?;
    }
    // Nobody's clock agrees with anybody's.
    let began = Instant::now();
    let begins = |index: usize| began + FRAME_INTERVAL.mul_f64(index as f64 / people.len() as f64);
    let mut frames: Vec<Instant> = (0..people.len()).map(begins).collect();
    let mut sounds: Vec<Instant> =
        (0..people.len()).map(|index| begins(index) + AUDIO_INTERVAL / 3).collect();
    let mut packet = [7; VIDEO_LEN];
    let mut buffer = [0; 4_096];
    let mut received = 0;
    // A little longer than anything is sent: what is on its way arrives.
    while began.elapsed() < TIME + Duration::from_millis(100) {
        let now = Instant::now();
        if now < began + TIME {
            for (index, person) in people.iter().enumerate() {
                packet[..NUMBER_LEN].copy_from_slice(&(index as u16).to_be_bytes());
                if now >= frames[index] {
                    frames[index] += FRAME_INTERVAL;
                    for _ in 0..PACKETS_PER_FRAME {
                        person.send(&packet)?;
                    }
                }
                if now >= sounds[index] {
                    sounds[index] += AUDIO_INTERVAL;
                    person.send(&packet[..AUDIO_LEN])?;
                }
            }
        }
        for person in people {
            while person.recv(&mut buffer).is_ok() {
                received += 1;
            }
        }
    }
    packet[..NUMBER_LEN].copy_from_slice(&OVER.to_be_bytes());
    people.first().context("nobody")?.send(&packet[..AUDIO_LEN])?;
    Ok(received)
}

/// Sends each packet to the others of its room. Returns the processor's nanoseconds and the packets sent.
fn reflect(socket: &UdpSocket, people: &[SocketAddr], runs: bool) -> Result<(u64, u64)> {
    let mut reading = MultiHeaders::<SockaddrStorage>::preallocate(READ, None);
    let capacity = READ * (PEOPLE - 1);
    let mut plain = MultiHeaders::preallocate(capacity, None);
    let mut segmented = MultiHeaders::preallocate(capacity, Some(nix::cmsg_space!(u16)));
    let segment = VIDEO_LEN as u16;
    let cut = [ControlMessage::UdpGsoSegments(&segment)];
    let mut buffers = vec![[0; VIDEO_LEN]; READ];
    let mut lengths = Vec::with_capacity(READ);
    let mut forwarded = 0;
    let before = processor_ns()?;
    loop {
        lengths.clear();
        {
            let mut slices: Vec<[IoSliceMut<'_>; 1]> =
                buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
            let read = recvmmsg(
                socket.as_raw_fd(),
                &mut reading,
                slices.iter_mut(),
                MsgFlags::MSG_WAITFORONE,
                None,
            )?;
            lengths.extend(read.map(|message| message.bytes));
        }
        let number = |index: usize| u16::from_be_bytes([buffers[index][0], buffers[index][1]]);
        let (mut single, mut single_to) = (Vec::new(), Vec::new());
        let (mut whole, mut whole_to) = (Vec::new(), Vec::new());
        let mut index = 0;
        while index < lengths.len() {
            let sender = number(index);
            if sender == OVER {
                return Ok((processor_ns()? - before, forwarded));
            }
            let mut run = 1;
            while runs
                && lengths[index] == VIDEO_LEN
                && index + run < lengths.len()
                && lengths[index + run] == VIDEO_LEN
                && number(index + run) == sender
            {
                run += 1;
            }
            let first = usize::from(sender) / PEOPLE * PEOPLE;
            for (other, address) in people.iter().enumerate().skip(first).take(PEOPLE) {
                if other != usize::from(sender) {
                    let slices: Vec<IoSlice<'_>> =
                        (index..index + run).map(|at| IoSlice::new(&buffers[at][..lengths[at]])).collect();
                    let (messages, to) =
                        if run > 1 { (&mut whole, &mut whole_to) } else { (&mut single, &mut single_to) };
                    messages.push(slices);
                    to.push(Some(SockaddrStorage::from(*address)));
                    forwarded += run as u64;
                }
            }
            index += run;
        }
        for (headers, messages, to, controls) in
            [(&mut plain, &single, &single_to, &[][..]), (&mut segmented, &whole, &whole_to, &cut[..])]
        {
            if !messages.is_empty() {
                let sent =
                    sendmmsg(socket.as_raw_fd(), headers, messages.iter(), to, controls, MsgFlags::empty())?;
                ensure!(sent.count() == to.len(), "the kernel took a part of a batch");
            }
        }
    }
}

/// Processor time of this thread, user and system, up to its last sleep.
fn processor_ns() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split(' ').next().context("an empty schedstat")?.parse()?)
}
