//! How this server looks from somebody's device: what the page `/doctor` asks while it looks, and the report that an operator at
//! the command line waits for. One task owns who is looking and which words are waited for; nothing of it outlives them.
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
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Who looks at once. Higher: more sockets and peers for strangers; lower: people have to wait for each other.
const VISITS_MAX: usize = 12;

/// The same from one household or company. Higher: one can keep the others waiting; lower: two phones behind one router wait.
const VISITS_PER_NETWORK: usize = 3;

/// How long a place is taken at the least. Higher: who looks again at once is told to wait; lower: more visits in a second, and
/// more connections begun for strangers.
const VISIT: Duration = Duration::from_secs(1);

/// Connections that one visit tries: over UDP, TCP and the relay, and one more. Higher: more peers for nothing.
const TRIALS: u32 = 4;

/// Words that are waited for at once; the oldest gives way. Only the operator makes them.
const WORDS_MAX: usize = 8;

/// How long a word is good. Higher: a link that was left lying about can be used for longer; lower: who has to find their
/// phone is late.
const WORD_LIFETIME: Duration = Duration::from_secs(600);

/// Random bytes of a word.
const WORD: usize = 16;

/// Questions and answers that wait for the task. Full: answers are dropped and the trial fails.
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
    /// Told once, and said as long as the word is good: an answer may be lost on its way.
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

    /// Something happened to a trial. Only what becomes of its offer is told: a client can cause much else, and it would take the
    /// place of others' answers.
    pub(crate) fn media(&self, event: Event) {
        if !matches!(event, Event::Answer { .. } | Event::OfferRefused { .. }) {
            return;
        }
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
    /// Offers taken, and those of them whose trials began.
    offers: u32,
    trials: u32,
    /// An offer is at the media plane: a visit has one there at a time, and the others wait here.
    asks: bool,
    waiting: VecDeque<(u32, String)>,
    media: MediaHandle,
    events: mpsc::Receiver<Event>,
    server: Facts,
}

impl Visit {
    /// One more trial with the client's offer, answered under `id`; false when it had enough.
    fn offer(&mut self, id: u32, sdp: String) -> bool {
        if self.offers >= TRIALS {
            return false;
        }
        self.offers += 1;
        self.waiting.push_back((id, sdp));
        self.begin()
    }

    /// What became of an offer; then the next one's trial begins.
    async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await?;
        self.asks = false;
        // Whoever waits notices that it does not begin.
        let _ = self.begin();
        Some(event)
    }

    /// The next trial, when no offer is unanswered; false when the media plane takes nothing any more.
    fn begin(&mut self) -> bool {
        if self.asks {
            return true;
        }
        let Some((offer_id, sdp)) = self.waiting.pop_front() else { return true };
        let peer = self.peer(self.trials);
        self.trials += 1;
        self.asks = true;
        let begun = self.media.send(Command::Connect { peer, room: NO_ROOM, role: DtlsRole::Server });
        // The rooms notice as well when the media plane takes nothing any more, and end the program.
        begun.and_then(|()| self.media.send(Command::Offer { peer, offer_id, sdp })).is_ok()
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

/// Where somebody looks from, since when, and the way to them. A closed one has gone.
struct Place {
    from: IpAddr,
    since: Instant,
    events: mpsc::Sender<Event>,
}

struct Table {
    threads: MediaThreads,
    server: Facts,
    /// By number.
    visits: HashMap<u32, Place>,
    next: u32,
    /// The oldest first.
    words: Vec<Waited>,
}

impl Table {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        while let Some(request) = inbox.recv().await {
            // `Err` below: whoever asked is gone.
            match request {
                Request::Come { from, reply } => drop(reply.send(self.come(Instant::now(), network(from)))),
                Request::Media(event) => self.route(event),
                Request::Word { reply } => drop(reply.send(self.word(Instant::now()))),
                Request::Tell { word, report, reply } => {
                    let _ = reply.send(self.tell(Instant::now(), &word, report));
                }
                Request::Ask { word, reply } => drop(reply.send(self.ask(Instant::now(), &word))),
            }
        }
    }

    fn come(&mut self, now: Instant, from: IpAddr) -> Option<Visit> {
        self.visits.retain(|_, place| !place.events.is_closed() || now < place.since + VISIT);
        let near = self.visits.values().filter(|place| place.from == from).count();
        if self.visits.len() >= VISITS_MAX || near >= VISITS_PER_NETWORK {
            return None;
        }
        let number = self.next;
        // So that every peer's number has 32 bits.
        self.next = (number + 1) % (u32::MAX / TRIALS);
        let (sender, events) = mpsc::channel(EVENTS);
        self.visits.insert(number, Place { from, since: now, events: sender });
        let (media, server) = (self.threads.for_room(), self.server.clone());
        let waiting = VecDeque::new();
        Some(Visit { number, offers: 0, trials: 0, asks: false, waiting, media, events, server })
    }

    fn route(&self, event: Event) {
        let (Event::Answer { peer, .. } | Event::OfferRefused { peer, .. }) = &event else { return };
        let number = u32::try_from(peer.0).map(|number| number / TRIALS);
        if let Some(place) = number.ok().and_then(|number| self.visits.get(&number)) {
            let _ = place.events.try_send(event);
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
        let report = self.words.get(at).and_then(|waited| waited.report.clone());
        report.map_or(Heard::Waiting, Heard::Report)
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

    fn answer(peer: PeerId, offer_id: u32) -> Event {
        Event::Answer { peer, offer_id, sdp: String::new(), mid_to_track: Vec::new() }
    }

    #[test]
    fn so_many_look_at_once_and_the_next_ones_when_they_have_gone() {
        let (mut table, _poll, _commands) = table();
        let now = Instant::now();
        let mut all = Vec::new();
        for household in 0..20 {
            all.extend((0..5).filter_map(|_| table.come(now, IpAddr::from([192, 0, 2, household]))));
        }
        assert_eq!(all.len(), VISITS_MAX);
        let first: Vec<u32> = all.iter().take(VISITS_PER_NETWORK + 1).map(|visit| visit.number).collect();
        assert!(first.windows(2).all(|pair| pair[0] != pair[1]));
        let last = all.pop().unwrap();
        let (from, peers) = (table.visits[&last.number].from, last.peer(0).0..=last.peer(TRIALS - 1).0);
        assert!(table.come(now + VISIT, from).is_none(), "they still look");
        drop(last);
        let early = now + VISIT - Duration::from_millis(1);
        assert!(table.come(early, from).is_none(), "so many in a second, however short they stay");
        let mut again = table.come(now + VISIT, from).unwrap();
        assert!(!peers.contains(&again.peer(0).0), "a late answer is for nobody");
        table.route(answer(again.peer(1), 7));
        assert!(matches!(again.events.try_recv(), Ok(Event::Answer { offer_id: 7, .. })));
    }

    #[test]
    fn only_what_becomes_of_an_offer_waits_for_the_task() {
        let (requests, mut inbox) = mpsc::channel(2);
        let outside = Outside { requests };
        for peer in 0..10 {
            outside.media(Event::Connected { peer: PeerId(peer) });
        }
        outside.media(answer(PeerId(3), 7));
        assert!(matches!(inbox.try_recv(), Ok(Request::Media(Event::Answer { offer_id: 7, .. }))));
        assert!(inbox.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_visit_has_one_offer_at_the_media_plane_and_so_many_trials() {
        let (mut table, _poll, commands) = table();
        let mut visit = table.come(Instant::now(), IpAddr::from([192, 0, 2, 1])).unwrap();
        let begun = || {
            let offers = commands.try_iter().filter_map(|command| match command {
                Command::Offer { peer, offer_id, .. } => Some((peer, offer_id)),
                _ => None,
            });
            offers.collect::<Vec<_>>()
        };
        for id in 10..10 + TRIALS {
            assert!(visit.offer(id, String::new()));
        }
        assert!(!visit.offer(9, String::new()), "it had enough");
        for trial in 0..TRIALS - 1 {
            assert_eq!(begun(), [(visit.peer(trial), 10 + trial)], "the others wait");
            table.route(answer(visit.peer(trial), 10 + trial));
            assert!(
                matches!(visit.next().await, Some(Event::Answer { offer_id, .. }) if offer_id == 10 + trial)
            );
        }
        drop(visit);
        let gone = commands.try_iter().filter(|command| matches!(command, Command::Disconnect { .. }));
        assert_eq!(gone.count(), TRIALS as usize);

        let mut early = table.come(Instant::now(), IpAddr::from([192, 0, 2, 1])).unwrap();
        assert!(early.offer(1, String::new()) && early.offer(2, String::new()));
        drop(early);
        let gone = commands.try_iter().filter(|command| matches!(command, Command::Disconnect { .. }));
        assert_eq!(gone.count(), 1, "the other one never began");
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
        for _ in 0..2 {
            assert!(matches!(table.ask(now, &word), Heard::Report(_)), "the first answer may be lost");
        }
        assert!(!table.tell(now, &word, report()), "not once more either");
        assert!(matches!(table.ask(now + WORD_LIFETIME, &word), Heard::Unknown), "it ends with its word");
        let late = table.word(now).unwrap();
        assert!(!table.tell(now + WORD_LIFETIME, &late, report()));
        let all: Vec<String> = (0..=WORDS_MAX).map(|_| table.word(now).unwrap()).collect();
        assert!(!table.tell(now, &all[0], report()), "the oldest gave way");
        assert!(table.tell(now, &all[1], report()));
    }
}
