//! The lanes of a destination, which follow stored calls in a log of its own in memory, of bounded size.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, RwLock, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::stored_call::StoredCall;
use crate::destinations::dead_letter::Letters;
use crate::destinations::disk_work::DiskWork;
use crate::destinations::invoke::Invoke;
use crate::destinations::lane_task::{LaneDeps, LaneTask, Orders, Steered};
use crate::destinations::positions::{LaneId, Losses, Route};
use crate::destinations::progress::Progress;
use crate::destinations::records::Records;
use crate::destinations::select::Head;
use crate::destinations::settings::DestinationSettings;
use crate::lock::lock;
use crate::log::frame::{Frame, FrameKind};
use crate::log::{Follow, Go, Read, ReadThrough, Visit};
use crate::metrics::Metrics;
use crate::random::Random;
use crate::time::{Clock, UnixMillis};

/// Bytes of lines that wait to be read by lanes. One line may exceed it.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// What calls are sent again with.
#[derive(Clone, Debug)]
pub struct ReplayDeps {
    /// What invokes the functions.
    pub invoke: Arc<dyn Invoke>,
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
pub(super) struct Lanes {
    settings: DestinationSettings,
    clock: Arc<dyn Clock>,
    handed_over: Arc<HandedOver>,
    /// The lanes, by function.
    lanes: BTreeMap<String, (usize, Arc<Progress>)>,
    /// The tasks of the lanes. They are aborted when the replay is dropped.
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Lanes {
    /// Begins with no calls. Those that are not taken again go to `letters`, with the positions that
    /// [`Lanes::give`] returned.
    pub(super) fn start(settings: DestinationSettings, deps: ReplayDeps, letters: &Arc<dyn Letters>) -> Self {
        let functions: Vec<String> =
            settings.selection.all_functions().into_iter().map(str::to_owned).collect();
        let handed_over = Arc::new(HandedOver {
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
                follow: Arc::new(Followed { handed_over: Arc::clone(&handed_over), lane }),
                letters: Arc::clone(letters),
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
        Self { settings, clock: deps.clock, handed_over, lanes, tasks, stop }
    }

    /// Gives a call, and waits while too many wait. Returns its position, from 1 on; `None` if the
    /// destination does not take it.
    pub(super) async fn give(&mut self, call: StoredCall) -> Result<Option<u64>, LaneDied> {
        let Some(lane) = self.function_of(&call).and_then(|function| self.lanes.get(&function)) else {
            return Ok(None);
        };
        let lane = lane.0;
        loop {
            let room = self.handed_over.room.notified();
            if let Some(position) = self.handed_over.push(lane, &call, self.clock.wall()) {
                return Ok(Some(position));
            }
            tokio::select! {
                () = room => {}
                _ = self.tasks.join_next() => return Err(LaneDied),
            }
        }
    }

    /// The function that gets a call; `None` if the destination does not take it.
    pub(super) fn function_of(&self, call: &StoredCall) -> Option<String> {
        let head = Head::of(&call.stream, std::str::from_utf8(&call.line).ok()?)?;
        self.settings.selection.function_for(&call.source, &head).map(str::to_owned)
    }

    /// Every call up to here was delivered, or was stored as a letter.
    pub(super) fn finished_through(&self) -> u64 {
        self.lanes.values().map(|(_, progress)| progress.finished_through()).min().unwrap_or(u64::MAX)
    }

    /// Waits until every call up to a position was delivered, or was stored as a letter.
    pub(super) async fn finishes_through(&mut self, position: u64) -> Result<(), LaneDied> {
        for (_, progress) in self.lanes.values() {
            tokio::select! {
                () = progress.finishes_through(position) => {}
                _ = self.tasks.join_next() => return Err(LaneDied),
            }
        }
        Ok(())
    }

    /// What its functions got.
    pub(super) fn functions(&self) -> Vec<Arc<Progress>> {
        self.lanes.values().map(|(_, progress)| Arc::clone(progress)).collect()
    }

    /// Sends nothing more, and waits for the invocations under way.
    pub(super) async fn stop(&mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// The calls that were given and not yet read.
#[derive(Debug)]
struct HandedOver {
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

impl HandedOver {
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
    handed_over: Arc<HandedOver>,
    lane: usize,
}

impl Follow for Followed {
    fn durable_through(&self) -> u64 {
        lock(&self.handed_over.state).through
    }

    fn hold_after(&self, _position: Option<u64>) {}

    fn held_bytes(&self) -> u64 {
        0
    }

    fn held_end(&self, _: u64) -> u64 {
        0
    }

    fn follow(&self, read_through: &mut ReadThrough, visit: &mut Visit<'_>) -> io::Result<()> {
        let mut state = lock(&self.handed_over.state);
        let first = state.entries.partition_point(|entry| entry.position <= read_through.through);
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
                row_key: None,
                origin: None,
                payload: &entry.call.line,
            }))?;
            if read == Go::Stop {
                through = entry.position;
                break;
            }
        }
        read_through.through = through;
        if let Some(read) = state.read.get_mut(self.lane) {
            *read = through;
        }
        let read_by_all = state.read.iter().copied().min().unwrap_or(0);
        while let Some(entry) = state.entries.pop_front_if(|entry| entry.position <= read_by_all) {
            state.bytes -= entry.call.line.len();
        }
        drop(state);
        self.handed_over.room.notify_waiters();
        Ok(())
    }
}
