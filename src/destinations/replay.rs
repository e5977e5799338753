//! Sends stored calls to a destination's functions again, by the rules by which they were sent first.
//!
//! The calls come from objects or files, not from the spool. Each waits in a log of its own in memory, of bounded size, and
//! the destination's lanes follow that log.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::{Notify, RwLock, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::dead_letter::Letters;
use super::disk_work::DiskWork;
use super::invoke::Invoke;
use super::lane_task::{LaneDeps, LaneTask, Orders, Steered};
use super::positions::{LaneId, Losses, Route};
use super::progress::Progress;
use super::records::Records;
use super::select::Head;
use super::settings::DestinationSettings;
use crate::json::Members;
use crate::lock::lock;
use crate::log::frame::{Frame, FrameKind};
use crate::log::{Follow, Go, Place, Read};
use crate::metrics::Metrics;
use crate::object::{Collection, Stream};
use crate::random::Random;
use crate::sources::SourceId;
use crate::time::{Clock, UnixMillis};
use crate::words::date::parse_rfc3339;

/// Bytes of lines that wait to be read by lanes. One line may exceed it.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// A stored call.
#[derive(Clone, Debug)]
pub struct StoredCall {
    /// The source.
    pub source: SourceId,
    /// The stream that it is of: calls, or the objects of a collection.
    pub stream: Stream,
    /// Its line, without a line break.
    pub line: Bytes,
}

/// A line of the bucket, or of a copy, as a call that can be sent again.
#[derive(Clone, Debug)]
pub struct StoredLine {
    /// The call.
    pub call: StoredCall,
    /// Why it is a dead letter; `None` if it is none.
    pub class: Option<String>,
    /// When it was received, if the line says it.
    pub received_at: Option<UnixMillis>,
}

impl StoredLine {
    /// Reads a line of calls, objects or dead letters. `known`: the source and the stream, where the object's key says
    /// them. `None` if it is no call, or does not say its source.
    pub fn of(line: &[u8], known: Option<(&SourceId, &Stream)>) -> Option<Self> {
        let (mut text, mut class) = (std::str::from_utf8(line).ok()?, None);
        let mut members = Members::of(text)?;
        let stream = known.map(|(_, stream)| stream).filter(|stream| !matches!(stream, Stream::Dead(_)));
        // A call may have members of these names, too.
        let of_letter =
            || Some((members.get("call")?.get(), members.get("destination").and(members.text("class"))?));
        if let Some((call, cause)) = stream.is_none().then(of_letter).flatten() {
            (text, class, members) = (call, Some(cause), Members::of(call)?);
        }
        let stream = stream.cloned().unwrap_or_else(|| stream_of(&members));
        let source = match known {
            Some((source, _)) => source.clone(),
            None => SourceId::new(&members.text("projectId")?).ok()?,
        };
        let received_at = members.text("receivedAt").and_then(|text| parse_rfc3339(&text));
        let line = Bytes::copy_from_slice(text.as_bytes());
        Some(Self { call: StoredCall { source, stream, line }, class, received_at })
    }
}

/// The stream of a line that was copied out of it. The collector gives every call an `originalTimestamp`, and every object
/// a collection.
fn stream_of(members: &Members<'_>) -> Stream {
    let collection = members.text("collection").filter(|_| members.get("originalTimestamp").is_none());
    collection.and_then(|name| Collection::new(&name).ok()).map_or(Stream::Calls, Stream::Objects)
}

/// What calls are sent again with.
#[derive(Clone, Debug)]
pub struct ReplayDeps {
    /// What invokes the functions.
    pub invoke: Arc<dyn Invoke>,
    /// Where calls go that are not taken again. Positions in them are those that [`Replay::give`] returned.
    pub letters: Arc<dyn Letters>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
}

/// A lane's task has ended early: a bug in Forebay.
#[derive(Debug, thiserror::Error)]
#[error("a task that sends calls has ended early; this is a bug in Forebay")]
pub struct LaneDied;

/// Calls that are sent again.
#[derive(Debug)]
pub struct Replay {
    settings: DestinationSettings,
    clock: Arc<dyn Clock>,
    given: Arc<Given>,
    /// The lanes, by function.
    lanes: BTreeMap<String, (usize, Arc<Progress>)>,
    /// The tasks of the lanes. They are aborted when the replay is dropped.
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Replay {
    /// Begins with no calls.
    pub fn start(settings: DestinationSettings, deps: ReplayDeps) -> Self {
        let functions: Vec<String> =
            settings.selection.all_functions().into_iter().map(str::to_owned).collect();
        let given = Arc::new(Given {
            state: Mutex::new(State { read: vec![0; functions.len()], ..State::default() }),
            room: Notify::new(),
        });
        let orders = Orders {
            routes: vec![Route { after: 0, selection: settings.selection.clone() }],
            settings: settings.clone(),
            invoke: deps.invoke,
            is_usable: true,
        };
        // The orders of a replay never change.
        let (_, orders) = watch::channel(Arc::new(orders));
        let stop = CancellationToken::new();
        let (records, metrics) = (Arc::<Mutex<Records>>::default(), Metrics::new());
        let (mut lanes, mut tasks) = (BTreeMap::new(), JoinSet::new());
        for (lane, function) in functions.into_iter().enumerate() {
            let progress = Arc::new(Progress::new(0, None, Losses::new(), Arc::clone(&records)));
            let deps = LaneDeps {
                follow: Arc::new(Followed { given: Arc::clone(&given), lane }),
                letters: Arc::clone(&deps.letters),
                metrics: metrics.clone(),
                clock: Arc::clone(&deps.clock),
                random: Arc::clone(&deps.random),
                disk_work: DiskWork::default(),
            };
            let id = LaneId { destination: settings.name.clone(), function: function.clone() };
            let steered = Steered {
                orders: orders.clone(),
                reading: Arc::new(RwLock::new(())),
                give_up_through: Arc::new(AtomicU64::new(0)),
            };
            let task = LaneTask::new(deps, id, steered, None, Arc::clone(&progress));
            tasks.spawn(task.run(stop.clone(), CancellationToken::new()));
            lanes.insert(function, (lane, progress));
        }
        Self { settings, clock: deps.clock, given, lanes, tasks, stop }
    }

    /// Gives a call, and waits while too many wait. Returns its position, from 1 on; `None` if the destination does not
    /// take it.
    ///
    /// # Errors
    /// [`LaneDied`].
    pub async fn give(&mut self, call: StoredCall) -> Result<Option<u64>, LaneDied> {
        let Some(lane) = self.function_of(&call).and_then(|function| self.lanes.get(&function)) else {
            return Ok(None);
        };
        let lane = lane.0;
        loop {
            let room = self.given.room.notified();
            if let Some(position) = self.given.push(lane, &call, self.clock.wall()) {
                return Ok(Some(position));
            }
            tokio::select! {
                () = room => {}
                ended = self.tasks.join_next() => return Err(died(ended)),
            }
        }
    }

    /// The function that gets a call; `None` if the destination does not take it.
    pub fn function_of(&self, call: &StoredCall) -> Option<String> {
        let head = Head::of(&call.stream, std::str::from_utf8(&call.line).ok()?)?;
        self.settings.selection.function_for(&call.source, &head).map(str::to_owned)
    }

    /// Every call up to here was delivered, or was stored as a letter.
    pub fn finished_through(&self) -> u64 {
        self.lanes.values().map(|(_, progress)| progress.finished_through()).min().unwrap_or(u64::MAX)
    }

    /// Waits until every call up to a position was delivered, or was stored as a letter.
    ///
    /// # Errors
    /// [`LaneDied`].
    pub async fn finishes_through(&mut self, position: u64) -> Result<(), LaneDied> {
        for (_, progress) in self.lanes.values() {
            tokio::select! {
                () = progress.finishes_through(position) => {}
                ended = self.tasks.join_next() => return Err(died(ended)),
            }
        }
        Ok(())
    }

    /// What its functions got.
    pub fn functions(&self) -> Vec<Arc<Progress>> {
        self.lanes.values().map(|(_, progress)| Arc::clone(progress)).collect()
    }

    /// Sends nothing more, and waits for the invocations under way.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

fn died(ended: Option<Result<(), JoinError>>) -> LaneDied {
    if let Some(Err(error)) = ended {
        tracing::error!(%error, "a task of a destination ended; this is a bug in Forebay");
    }
    LaneDied
}

/// The calls that were given and not yet read.
#[derive(Debug)]
struct Given {
    state: Mutex<State>,
    /// Lanes have read.
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The last position.
    through: u64,
    /// How far each lane has read.
    read: Vec<u64>,
}

#[derive(Debug)]
struct Entry {
    position: u64,
    lane: usize,
    at: UnixMillis,
    call: StoredCall,
}

impl Given {
    /// Adds a call, if there is room. A call's age counts from now on: it is old when it is sent again.
    fn push(&self, lane: usize, call: &StoredCall, at: UnixMillis) -> Option<u64> {
        let mut state = lock(&self.state);
        if state.bytes >= WAITING_BYTES_MAX {
            return None;
        }
        state.through += 1;
        state.bytes += call.line.len();
        let (position, call) = (state.through, call.clone());
        state.entries.push_back(Entry { position, lane, at, call });
        Some(position)
    }
}

/// The calls that were given to one lane, as a log.
#[derive(Debug)]
struct Followed {
    given: Arc<Given>,
    lane: usize,
}

impl Follow for Followed {
    fn durable_through(&self) -> u64 {
        lock(&self.given.state).through
    }

    fn hold_after(&self, _position: Option<u64>) {}

    fn held_bytes(&self) -> u64 {
        0
    }

    fn held_end(&self, _: u64) -> u64 {
        0
    }

    fn follow(&self, place: &mut Place, visit: &mut dyn FnMut(Read<'_>) -> io::Result<Go>) -> io::Result<()> {
        let mut state = lock(&self.given.state);
        let first = state.entries.partition_point(|entry| entry.position <= place.through);
        let mut through = state.through;
        for entry in state.entries.iter().skip(first).filter(|entry| entry.lane == self.lane) {
            let read = visit(Read::Frame(Frame {
                position: entry.position,
                kind: FrameKind::of(&entry.call.stream),
                source: entry.call.source.as_str(),
                name: entry.call.stream.name(),
                of_dead: false,
                received_at: entry.at,
                fingerprint: 0,
                origin: None,
                payload: &entry.call.line,
            }))?;
            if read == Go::Stop {
                through = entry.position;
                break;
            }
        }
        place.through = through;
        if let Some(read) = state.read.get_mut(self.lane) {
            *read = through;
        }
        let read_by_all = state.read.iter().copied().min().unwrap_or(0);
        while let Some(entry) = state.entries.pop_front_if(|entry| entry.position <= read_by_all) {
            state.bytes -= entry.call.line.len();
        }
        drop(state);
        self.given.room.notify_waiters();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_letters_are_unwrapped() {
        let (web, crm) = (SourceId::new("web").unwrap(), SourceId::new("crm").unwrap());
        let call = r#"{"messageId":"m","projectId":"ios","originalTimestamp":"t"}"#;
        let letter = format!(r#"{{"destination":"crm","class":"timeout","call":{call}}}"#);
        let read = |line: &str, stream: Option<Stream>| {
            let known = stream.as_ref().map(|stream| (&web, stream));
            let stored = StoredLine::of(line.as_bytes(), known)?;
            let line = String::from_utf8(stored.call.line.to_vec()).unwrap();
            Some((line, stored.class, stored.call.source.to_string(), stored.call.stream))
        };
        let timeout = || Some("timeout".to_owned());
        let sent = |class, source: &str| Some((call.to_owned(), class, source.to_owned(), Stream::Calls));
        assert_eq!(read(&letter, Some(Stream::Dead(crm.clone()))), sent(timeout(), "web"));
        assert_eq!(read(&letter, None), sent(timeout(), "ios"));
        assert_eq!(read(call, None), sent(None, "ios"));
        // A stored call that looks like a letter is sent whole.
        let whole = read(&letter, Some(Stream::Calls));
        assert_eq!(whole, Some((letter.clone(), None, "web".to_owned(), Stream::Calls)));
        assert_eq!(read("[1]", Some(Stream::Calls)), None);
        assert_eq!(read("{}", None), None, "it does not say its source");
        let rooms = Stream::Objects(Collection::new("rooms").unwrap());
        let object = r#"{"collection":"rooms","type":"track","projectId":"ios"}"#;
        assert_eq!(read(object, None).unwrap().3, rooms);
        let letter = format!(r#"{{"destination":"crm","class":"timeout","call":{object}}}"#);
        assert_eq!(read(&letter, Some(Stream::Dead(crm))).unwrap().3, rooms);
    }
}
