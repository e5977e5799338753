//! The clients: what they sent, which answers they got, and what they will send again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forebay::call::{Fingerprinter, LineSink as _, RejectReason};
use forebay::log::frame;
use forebay::log::{Append, AppendError, Appended, RequestFrames};
use forebay::object::Stream;
use forebay::sources::SourceId;
use forebay::time::UnixMillis;

use crate::support::sim_disk::Dice;
use crate::support::trace::Trace;

/// The collections of the requests that set objects.
pub(super) const COLLECTIONS: [&str; 2] = ["hotels", "rooms"];
/// Every so many requests one sets objects.
const OBJECTS_EVERY: usize = 4;

/// The members of a line that destinations need. Every seventh call has no user.
fn types(message: usize) -> String {
    let kind = ["track", "page", "identify"][message % 3];
    let user =
        if message.is_multiple_of(7) { String::new() } else { format!("\"userId\":\"u{}\",", message % 4) };
    format!("\"type\":\"{kind}\",{user}\"messageId\":\"{message}\",")
}

/// The stream of a collection.
pub(super) fn objects_of(collection: &str) -> Stream {
    format!("objects/{collection}").parse().unwrap()
}

/// One sending of a line. A client that retries a call makes another copy of it.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) message: usize,
    pub(super) source: usize,
    pub(super) stream: Stream,
    pub(super) received_at: UnixMillis,
    /// Its place among all copies in the order in which they were queued.
    pub(super) order: u64,
}

/// One call, or one item to be rejected.
#[derive(Clone, Debug)]
struct Message {
    stream: Stream,
    pad: String,
}

/// A request that a client sends until it is answered.
#[derive(Clone, Debug)]
struct Request {
    source: usize,
    messages: std::ops::Range<usize>,
    answered: bool,
    /// The life in which it is in flight.
    under_way: Option<u64>,
}

#[derive(Debug, Default)]
struct State {
    messages: Vec<Message>,
    copies: Vec<Copy>,
    queued: u64,
    requests: Vec<Request>,
    life: u64,
    wrong: Option<String>,
    /// Whether calls say their type and user, as destinations need.
    types: bool,
    /// The only sources that may be refused for their destination, if set.
    refusable: Option<BTreeSet<usize>>,
}

/// All clients. Clones share their state.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    state: Arc<Mutex<State>>,
    pub(super) sources: Arc<Vec<SourceId>>,
    trace: Trace,
}

/// The members of a line.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Line {
    pub(super) message: usize,
    pub(super) copy: usize,
}

/// A line of the rejected stream, as intake writes it.
#[derive(Debug, serde::Deserialize)]
struct Rejected {
    value: Line,
}

impl Line {
    /// Reads a line.
    ///
    /// # Errors
    /// It is none that a client or an importer sent.
    pub(super) fn read(line: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice::<Rejected>(line)
            .map(|rejected| rejected.value)
            .or_else(|_| serde_json::from_slice(line))
    }
}

impl Clients {
    pub(super) fn new(sources: Vec<SourceId>, trace: Trace) -> Self {
        Self { state: Arc::default(), sources: Arc::new(sources), trace }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a life: requests in flight get no answer.
    pub(super) fn end_life(&self) {
        self.lock().life += 1;
    }

    /// Makes a new request with frames of at most about `bytes`; nearly that much if it is `large`.
    pub(super) fn make(&self, dice: &mut Dice, bytes: u64, large: bool, rejected: u64) -> usize {
        let mut state = self.lock();
        let first = state.messages.len();
        // Not drawn, so that the seeds of named tests still make the same schedules.
        let number = state.requests.len();
        let valid = match number % OBJECTS_EVERY {
            1 => objects_of(COLLECTIONS[number / OBJECTS_EVERY % COLLECTIONS.len()]),
            _ => Stream::Calls,
        };
        let mut room = if large { bytes - dice.below(bytes / 4) } else { dice.log(bytes) };
        loop {
            let stream = if dice.chance(rejected) { Stream::Rejected } else { valid.clone() };
            let pad = dice.log(room.min(1_200));
            let pad = (0..pad.div_ceil(16)).map(|_| format!("{:016x}", dice.next())).collect();
            let message = Message { stream, pad };
            let len = message.pad.len() as u64 + 200;
            state.messages.push(message);
            if len >= room {
                break;
            }
            room -= len;
        }
        let messages = first..state.messages.len();
        let source = dice.index(self.sources.len());
        state.requests.push(Request { source, messages, answered: false, under_way: None });
        state.requests.len() - 1
    }

    /// Like [`Clients::make`], but for one source.
    pub(super) fn make_of(&self, source: usize, bytes: u64, large: bool, dice: &mut Dice) -> usize {
        let request = self.make(dice, bytes, large, 0);
        self.lock().requests[request].source = source;
        request
    }

    /// Whether a request was answered 200.
    pub(super) fn is_answered(&self, request: usize) -> bool {
        self.lock().requests[request].answered
    }

    /// Whether a request must be sent again.
    pub(super) fn waits(&self, request: usize) -> bool {
        self.unanswered().contains(&request)
    }

    /// Calls say their type and user from now on.
    pub(super) fn say_types(&self) {
        self.lock().types = true;
    }

    /// Sets the only sources that may be refused for their destination.
    pub(super) fn only_these_may_be_refused(&self, sources: BTreeSet<usize>) {
        self.lock().refusable = Some(sources);
    }

    /// Requests that are neither answered nor in flight.
    pub(super) fn unanswered(&self) -> Vec<usize> {
        let state = self.lock();
        let waits = |request: &Request| !request.answered && request.under_way != Some(state.life);
        (0..state.requests.len()).filter(|at| waits(&state.requests[*at])).collect()
    }

    /// Some recently sent request, whatever its outcome.
    pub(super) fn any(&self, dice: &mut Dice) -> Option<usize> {
        let sent = self.lock().requests.len();
        let lately = dice.index(sent.min(12));
        (sent > 0).then(|| sent - 1 - lately)
    }

    /// Bytes of a request's frames.
    pub(super) fn bytes(&self, request: usize) -> u64 {
        let state = self.lock();
        let messages = &state.messages[state.requests[request].messages.clone()];
        messages.iter().map(|message| message.pad.len() as u64 + 200).sum()
    }

    /// Sends a request in its own task, which waits for the answer.
    pub(super) fn send(
        &self,
        request: usize,
        at: UnixMillis,
        prints: &Fingerprinter,
        appender: Arc<dyn Append>,
    ) {
        let at = at.max(appender.not_before());
        let mut state = self.lock();
        let life = state.life;
        state.requests[request].under_way = Some(life);
        let Request { source, messages, .. } = state.requests[request].clone();
        let mut frames = RequestFrames::new(self.sources[source].clone(), at, 0);
        let streams = state.messages[messages.clone()].iter().map(|message| &message.stream);
        if let Some(objects) = streams.clone().find(|stream| matches!(stream, Stream::Objects(_))) {
            frames.set_stream(objects.clone());
        }
        for message in messages.clone() {
            let Message { stream, pad } = state.messages[message].clone();
            let copy = state.copies.len();
            let types = if state.types { types(message) } else { String::new() };
            let line = format!("{{\"message\":{message},\"copy\":{copy},{types}\"pad\":\"{pad}\"}}");
            frames.line().extend_from_slice(line.as_bytes());
            match stream {
                Stream::Calls | Stream::Objects(_) => {
                    let id = message.to_string();
                    frames.call(prints.of(&self.sources[source], id.as_bytes(), "track", b""));
                }
                Stream::Rejected => frames.rejected(RejectReason::UnknownType),
                Stream::Dead(_) => unreachable!("clients send no dead letters"),
            }
            state.copies.push(Copy { message, source, stream, received_at: at, order: 0 });
        }
        self.trace.note("send", "", &[request as u64, messages.len() as u64]);
        let clients = self.clone();
        tokio::spawn(async move {
            clients.queued(&frames);
            let answer = appender.append(frames).await;
            clients.answered(request, life, messages.len(), answer);
        });
    }

    fn answered(&self, request: usize, life: u64, lines: usize, answer: Result<Appended, AppendError>) {
        let mut state = self.lock();
        let (code, what) = match answer {
            Ok(Appended { stored, repeats, .. }) => {
                if stored as usize + repeats as usize != lines {
                    let wrong =
                        format!("I1: {lines} lines were answered as {stored} stored and {repeats} repeats");
                    state.wrong.get_or_insert(wrong);
                }
                if repeats > 0 {
                    self.trace.count("a repeat");
                }
                state.requests[request].answered = true;
                (200 + u64::from(repeats), "an answer")
            }
            Err(AppendError::TooLarge) => (400, "too large"),
            Err(AppendError::Busy) => (1, "busy"),
            Err(AppendError::Full) => (2, "the spool is full"),
            Err(AppendError::LocationFull) => {
                let source = state.requests[request].source;
                if state.refusable.as_ref().is_some_and(|some| !some.contains(&source)) {
                    let name = &self.sources[source];
                    state.wrong.get_or_insert(format!(
                        "I9: {name} is refused although its bucket accepts its objects"
                    ));
                }
                (3, "a source refused for its bucket")
            }
            Err(AppendError::DayOver) => (5, "its day is over"),
            Err(AppendError::Unknown) => (6, "an unknown outcome"),
            Err(AppendError::Stopped) => (4, "the spool has stopped"),
            Err(AppendError::OtherRow { .. } | AppendError::Known { .. }) => {
                unreachable!("these clients import nothing")
            }
            Err(AppendError::NoBroker) => unreachable!("there is a spool"),
            Err(AppendError::TooManyStreams) => unreachable!("there are two collections"),
        };
        self.trace.count(what);
        self.trace.note("answer", "", &[request as u64, code]);
        if state.requests[request].under_way == Some(life) {
            state.requests[request].under_way = None;
        }
    }

    /// Makes messages that the clients do not send: the rows of an imported file. Returns the first one.
    pub(super) fn add_messages(&self, count: usize) -> usize {
        let mut state = self.lock();
        let first = state.messages.len();
        let message = || Message { stream: Stream::Calls, pad: String::new() };
        state.messages.extend(std::iter::repeat_with(message).take(count));
        first
    }

    /// Makes a copy of such a message.
    pub(super) fn add_copy(&self, message: usize, source: usize, stream: Stream) -> usize {
        let mut state = self.lock();
        state.copies.push(Copy { message, source, stream, received_at: UnixMillis::default(), order: 0 });
        state.copies.len() - 1
    }

    /// Records that these frames are queued now.
    pub(super) fn queued(&self, frames: &RequestFrames) {
        let mut state = self.lock();
        let mut rest = frames.bytes();
        while let Some(len) = frame::length(rest) {
            let line = frame::fields(&rest[..len]).and_then(|frame| Line::read(frame.payload).ok());
            if let Some(Line { copy, .. }) = line {
                state.queued += 1;
                (state.copies[copy].order, state.copies[copy].received_at) =
                    (state.queued, frames.received_at());
            }
            rest = &rest[len..];
        }
    }

    /// The first wrong answer, if any.
    pub(super) fn wrong(&self) -> Option<String> {
        self.lock().wrong.clone()
    }

    /// Returns one copy.
    pub(super) fn copy(&self, copy: usize) -> Option<Copy> {
        self.lock().copies.get(copy).cloned()
    }

    /// Every copy of a message.
    pub(super) fn copies_of(&self, message: usize) -> Vec<usize> {
        let state = self.lock();
        (0..state.copies.len()).filter(|copy| state.copies[*copy].message == message).collect()
    }

    /// Messages whose request was answered.
    pub(super) fn answered_messages(&self) -> Vec<usize> {
        let state = self.lock();
        state
            .requests
            .iter()
            .filter(|request| request.answered)
            .flat_map(|request| request.messages.clone())
            .collect()
    }
}
