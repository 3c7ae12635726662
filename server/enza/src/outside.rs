//! How this server looks from somebody's device: what the page `/doctor` asks while it looks, and the report that an operator at
//! the command line waits for. One task owns who is looking and which words are waited for; nothing of it is kept.
//!
//! Anybody may look. They see what every visitor sees; what it costs is bounded here.

mod report;
mod second;
mod session;

pub(crate) use report::{Line, Rating, Report};
pub(crate) use session::{MESSAGE_MAX, Visitor, run};

use crate::attempts::network;
use crate::config::Transport;
use crate::media::{MediaHandle, MediaThreads};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sfu::{Command, DtlsRole, Event, PeerId, RoomId};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Who looks at once. Higher: more sockets and peers for strangers; lower: people have to wait for each other.
const VISITS_MAX: usize = 12;

/// The same from one household or company. Higher: one can keep the others waiting; lower: two phones behind one router wait.
const VISITS_PER_NETWORK: usize = 3;

/// Connections that one visit tries: over UDP, TCP and the relay, and one more. Higher: more peers for nothing.
const TRIALS: u32 = 4;

/// Words that are waited for at once; the oldest gives way. Only the operator makes them.
const WORDS_MAX: usize = 8;

/// How long a word is good. Higher: a link that was left lying about can be used for longer; lower: who has to find their
/// phone is late.
const WORD_LIFETIME: Duration = Duration::from_secs(600);

/// Random bytes of a word.
const WORD: usize = 16;

/// Questions and events that wait for the task. Full: events are dropped and the trial fails.
const REQUESTS: usize = 256;

/// Events that wait for one visit: an answer and a connection for each trial, and their ends.
const EVENTS: usize = 32;

/// Rooms count from one, so this is nobody's: the trials' peers have it in the upper half of their numbers.
pub(crate) const NO_ROOM: RoomId = RoomId::NOBODY;

/// What is true of the server for everybody who looks.
#[derive(Clone)]
pub(crate) struct Facts {
    /// What clients are told.
    candidates: Vec<SocketAddr>,
    /// Where the second port is opened.
    bind: IpAddr,
    /// How the page's certificate came to be, for programs; `none` without HTTPS of our own.
    certificate: &'static str,
}

impl Facts {
    pub(crate) const fn new(candidates: Vec<SocketAddr>, bind: IpAddr, transport: &Transport) -> Self {
        let certificate = match transport {
            Transport::Plain => "none",
            Transport::Development => "own",
            Transport::Files { .. } => "files",
            Transport::Domains(_) => "domain",
        };
        Self { candidates, bind, certificate }
    }
}

enum Request {
    Come { from: IpAddr, reply: oneshot::Sender<Option<Visit>> },
    Media(Event),
    Word { reply: oneshot::Sender<Option<String>> },
    Tell { word: String, report: Box<Report>, reply: oneshot::Sender<bool> },
    Ask { word: String, reply: oneshot::Sender<Heard> },
}

/// What became of a word.
pub(crate) enum Heard {
    Unknown,
    Waiting,
    /// Said once; the word is used up.
    Report(Box<Report>),
}

/// Asks the task. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Outside {
    requests: mpsc::Sender<Request>,
}

impl Outside {
    pub(crate) fn start(threads: MediaThreads, server: Facts) -> Self {
        let (requests, inbox) = mpsc::channel(REQUESTS);
        let table = Table { threads, server, visits: HashMap::new(), next: 0, words: Vec::new() };
        tokio::spawn(table.run(inbox));
        Self { requests }
    }

    /// A place for somebody who looks; `None`: too many do.
    pub(crate) async fn come(&self, from: IpAddr) -> Option<Visit> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Come { from, reply }).await.ok()?;
        answer.await.ok().flatten()
    }

    /// Something happened to a trial.
    pub(crate) fn media(&self, event: Event) {
        // Full: that trial fails.
        let _ = self.requests.try_send(Request::Media(event));
    }

    /// A new word under which one report may be told; `None` without random numbers.
    pub(crate) async fn word(&self) -> Option<String> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Word { reply }).await.ok()?;
        answer.await.ok().flatten()
    }

    /// False: nobody waits for this word.
    pub(crate) async fn tell(&self, word: String, report: Report) -> bool {
        let (reply, answer) = oneshot::channel();
        let request = Request::Tell { word, report: Box::new(report), reply };
        self.requests.send(request).await.is_ok() && answer.await.unwrap_or(false)
    }

    pub(crate) async fn ask(&self, word: String) -> Heard {
        let (reply, answer) = oneshot::channel();
        if self.requests.send(Request::Ask { word, reply }).await.is_err() {
            return Heard::Unknown;
        }
        answer.await.unwrap_or(Heard::Unknown)
    }
}

/// Somebody who looks. When it is dropped their trials end and their place is free.
pub(crate) struct Visit {
    number: u32,
    trials: u32,
    media: MediaHandle,
    events: mpsc::Receiver<Event>,
    server: Facts,
}

impl Visit {
    /// Begins one more trial with the client's offer, answered under `id`; false when it had enough.
    fn offer(&mut self, id: u32, sdp: String) -> bool {
        if self.trials >= TRIALS {
            return false;
        }
        let peer = self.peer(self.trials);
        self.trials += 1;
        let begun = self.media.send(Command::Connect { peer, room: NO_ROOM, role: DtlsRole::Server });
        // The rooms notice as well when the media plane takes nothing any more, and end the program.
        begun.and_then(|()| self.media.send(Command::Offer { peer, offer_id: id, sdp })).is_ok()
    }

    fn peer(&self, trial: u32) -> PeerId {
        PeerId(u64::from(self.number * TRIALS + trial))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        for trial in 0..self.trials {
            let _ = self.media.send(Command::Disconnect { peer: self.peer(trial) });
        }
    }
}

/// A word that somebody waits for.
struct Waited {
    word: String,
    until: Instant,
    report: Option<Box<Report>>,
}

struct Table {
    threads: MediaThreads,
    server: Facts,
    /// By number: from where, and the way there. A closed one has gone.
    visits: HashMap<u32, (IpAddr, mpsc::Sender<Event>)>,
    next: u32,
    /// The oldest first.
    words: Vec<Waited>,
}

impl Table {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        while let Some(request) = inbox.recv().await {
            // `Err` below: whoever asked is gone.
            match request {
                Request::Come { from, reply } => drop(reply.send(self.come(network(from)))),
                Request::Media(event) => self.route(event),
                Request::Word { reply } => drop(reply.send(self.word(Instant::now()))),
                Request::Tell { word, report, reply } => {
                    let _ = reply.send(self.tell(Instant::now(), &word, report));
                }
                Request::Ask { word, reply } => drop(reply.send(self.ask(Instant::now(), &word))),
            }
        }
    }

    fn come(&mut self, from: IpAddr) -> Option<Visit> {
        self.visits.retain(|_, (_, events)| !events.is_closed());
        let near = self.visits.values().filter(|(other, _)| *other == from).count();
        if self.visits.len() >= VISITS_MAX || near >= VISITS_PER_NETWORK {
            return None;
        }
        let number = self.next;
        // So that every peer's number has 32 bits.
        self.next = (number + 1) % (u32::MAX / TRIALS);
        let (sender, events) = mpsc::channel(EVENTS);
        self.visits.insert(number, (from, sender));
        let media = self.threads.for_room();
        Some(Visit { number, trials: 0, media, events, server: self.server.clone() })
    }

    fn route(&self, event: Event) {
        let (Event::Answer { peer, .. } | Event::OfferRefused { peer, .. }) = &event else { return };
        let number = u32::try_from(peer.0).map(|number| number / TRIALS);
        if let Some((_, events)) = number.ok().and_then(|number| self.visits.get(&number)) {
            let _ = events.try_send(event);
        }
    }

    fn word(&mut self, now: Instant) -> Option<String> {
        let mut bytes = [0; WORD];
        getrandom::fill(&mut bytes).ok()?;
        let word = URL_SAFE_NO_PAD.encode(bytes);
        self.words.retain(|waited| waited.until > now);
        if self.words.len() >= WORDS_MAX {
            self.words.remove(0);
        }
        self.words.push(Waited { word: word.clone(), until: now + WORD_LIFETIME, report: None });
        Some(word)
    }

    fn find(&mut self, now: Instant, word: &str) -> Option<usize> {
        self.words.retain(|waited| waited.until > now);
        // 128 random bits, few tries: nothing can be learnt from how long the comparison takes.
        self.words.iter().position(|waited| waited.word == word)
    }

    fn tell(&mut self, now: Instant, word: &str, report: Box<Report>) -> bool {
        let at = self.find(now, word);
        let Some(waited) = at.and_then(|at| self.words.get_mut(at)) else { return false };
        if waited.report.is_some() {
            return false;
        }
        waited.report = Some(report);
        true
    }

    fn ask(&mut self, now: Instant, word: &str) -> Heard {
        let Some(at) = self.find(now, word) else { return Heard::Unknown };
        match self.words.get(at).is_some_and(|waited| waited.report.is_some()) {
            true => self.words.remove(at).report.map_or(Heard::Waiting, Heard::Report),
            false => Heard::Waiting,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::handle_for_tests;

    fn table() -> (Table, impl Sized, std::sync::mpsc::Receiver<Command>) {
        let (handle, (poll, commands)) = handle_for_tests();
        let table = Table {
            threads: MediaThreads::new([handle]),
            server: Facts::new(Vec::new(), IpAddr::from([127, 0, 0, 1]), &Transport::Plain),
            visits: HashMap::new(),
            next: u32::MAX / TRIALS - 2,
            words: Vec::new(),
        };
        (table, poll, commands)
    }

    fn report() -> Box<Report> {
        let text = r#"{"verdict": "open", "summary": "All ways are open.", "lines": []}"#;
        Box::new(Report::read(text.as_bytes()).unwrap())
    }

    #[test]
    fn so_many_look_at_once_and_the_next_ones_when_they_have_gone() {
        let (mut table, _poll, commands) = table();
        let mut all = Vec::new();
        for household in 0..20 {
            all.extend((0..5).filter_map(|_| table.come(IpAddr::from([192, 0, 2, household]))));
        }
        assert_eq!(all.len(), VISITS_MAX);
        let first: Vec<u32> = all.iter().take(VISITS_PER_NETWORK + 1).map(|visit| visit.number).collect();
        assert!(first.windows(2).all(|pair| pair[0] != pair[1]));
        let mut last = all.pop().unwrap();
        for trial in 0..TRIALS {
            assert!(last.offer(trial, String::new()));
        }
        assert!(!last.offer(9, String::new()), "it had enough");
        let (from, peers) = (table.visits[&last.number].0, last.peer(0).0..=last.peer(TRIALS - 1).0);
        drop(last);
        let gone = commands.try_iter().filter(|command| matches!(command, Command::Disconnect { .. }));
        assert_eq!(gone.count(), TRIALS as usize);
        let mut again = table.come(from).unwrap();
        assert!(!peers.contains(&again.peer(0).0), "a late answer is for nobody");
        table.route(Event::Answer {
            peer: again.peer(1),
            offer_id: 7,
            sdp: String::new(),
            mid_to_track: Vec::new(),
        });
        assert!(matches!(again.events.try_recv(), Ok(Event::Answer { offer_id: 7, .. })));
    }

    #[test]
    fn a_report_is_told_once_under_a_word_that_somebody_waits_for() {
        let (mut table, _poll, _commands) = table();
        let now = Instant::now();
        let word = table.word(now).unwrap();
        assert_eq!(word.len(), 22);
        assert!(!table.tell(now, "", report()));
        assert!(matches!(table.ask(now, &word), Heard::Waiting));
        assert!(table.tell(now, &word, report()));
        assert!(!table.tell(now, &word, report()), "once");
        assert!(matches!(table.ask(now, &word), Heard::Report(_)));
        assert!(matches!(table.ask(now, &word), Heard::Unknown), "it is kept by nobody");
        let late = table.word(now).unwrap();
        assert!(!table.tell(now + WORD_LIFETIME, &late, report()));
        let all: Vec<String> = (0..=WORDS_MAX).map(|_| table.word(now).unwrap()).collect();
        assert!(!table.tell(now, &all[0], report()), "the oldest gave way");
        assert!(table.tell(now, &all[1], report()));
    }
}
