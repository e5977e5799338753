//! Runs all destinations: starts and changes lanes as configured, keeps how far they are, and lets the log
//! release what they have finished.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{RwLock, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::alarm;
use super::class::Class;
use super::dead_letter::LogLetters;
use super::disk_work::DiskWork;
use super::invoke::{Equipment, Unusable};
use super::lane_task::{LaneDeps, LaneTask, Orders, Steered};
use super::positions::{
    self, All, Kept, LaneId, Losses, Piece, Positions, ROUTES_MAX, add_loss, advanced, copied, lost_calls,
    rebuilt, reconfigured, with_ahead, with_losses,
};
use super::progress::Progress;
use super::queue::{PIECE_BYTES_MAX, Queue};
use super::records::Records;
use super::settings::{DestinationSettings, concurrency_max};
use crate::alarms::{AlarmKind, Alarms};
use crate::disk::Disk;
use crate::give_way::GiveWay;
use crate::lock::lock;
use crate::log::{Append, Follow};
use crate::metrics::{DestinationLabel, Metrics};
use crate::once_a_minute::OnceAMinute;
use crate::planted_bugs::{PlantedBug, planted};
use crate::random::Random;
use crate::sources::SourceId;
use crate::tasks::{RESTARTS, Supervised, caught, joined, keep};
use crate::time::Clock;
use crate::words::Told;

/// How often positions are written. What was taken since is sent again after a kill.
const KEEP_EVERY: Duration = Duration::from_millis(250);
/// The pieces that a full queue has at least.
const PIECES_MIN: u64 = 16;
/// The log's share for destinations is at least so many pieces.
const PIECES_OF_SHARE: u64 = 8;
/// As long as the log keeps no more than so many shares for destinations, lines are copied only when nothing
/// else has work to do. A flood of calls that takes all processors then does not wait for copies, nor fill
/// the disk with what they would free.
const LEISURE_SHARES: u64 = 2;
/// How long nothing is copied into a queue after the disk took none of it. Meanwhile calls beyond the share
/// become dead letters.
const COPY_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// The subject of the alarm about the file of positions.
const LIST: &str = "destinations";
/// Commands that wait.
const COMMANDS_MAX: usize = 16;

/// What destinations work with.
#[derive(Clone, Debug)]
pub struct Deps {
    /// The log to follow.
    pub follow: Arc<dyn Follow>,
    /// Where dead letters go.
    pub append: Arc<dyn Append>,
    /// What invokes functions.
    pub equipment: Arc<dyn Equipment>,
    /// Alarms.
    pub alarms: Arc<Alarms>,
    /// Metrics.
    pub metrics: Metrics,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// Where queues are kept.
    pub disk: Arc<dyn Disk>,
    /// The bytes of the log that only destinations may keep, together.
    pub share: u64,
    /// File handles that the functions may take, together.
    pub handles: usize,
    /// Where work that waits for the disk runs.
    pub disk_work: DiskWork,
    /// Where lines are copied into queues, unless the log keeps far too much for destinations.
    pub copy_work: DiskWork,
}

impl Deps {
    fn of_lane(&self) -> LaneDeps {
        let letters = LogLetters { append: Arc::clone(&self.append), clock: Arc::clone(&self.clock) };
        LaneDeps {
            follow: Arc::clone(&self.follow),
            letters: Arc::new(letters),
            metrics: self.metrics.clone(),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            disk_work: self.disk_work.clone(),
        }
    }
}

/// All destinations of a node. Clones share them.
#[derive(Clone, Debug)]
pub struct Destinations {
    commands: mpsc::Sender<Command>,
    shown: Arc<Mutex<BTreeMap<SourceId, Shown>>>,
    stop: CancellationToken,
    abort: CancellationToken,
    running: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// What people see of a destination.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The settings; `None` if it was removed and those that were kept cannot be used.
    pub settings: Option<DestinationSettings>,
    /// Whether the configuration no longer has the destination. It then sends what waits.
    pub removed: bool,
    /// Each function.
    pub lanes: BTreeMap<String, Arc<Progress>>,
    /// The last attempts.
    pub records: Arc<Mutex<Records>>,
}

/// Why a command was not followed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such destination.
    #[error("there is no destination {0}")]
    Unknown(SourceId),
    /// The destination is configured.
    #[error(
        "{0} is configured: remove it from the configuration first; until then it would go on taking calls"
    )]
    Configured(SourceId),
    /// Its selection was changed too often while calls waited.
    #[error(
        "{0} was changed {ROUTES_MAX} times while calls wait that cannot be queued; no destination can be changed until \
         its function takes them or the disk has space"
    )]
    TooManyChanges(SourceId),
    /// The file of positions.
    #[error("what is kept of destinations cannot be written: {0}")]
    Io(#[from] io::Error),
    /// The node ends.
    #[error("the node ends")]
    Ending,
}

#[derive(Debug)]
enum Command {
    Set(Vec<DestinationSettings>, oneshot::Sender<Result<(), CommandError>>),
    Discard(SourceId, oneshot::Sender<Result<(), CommandError>>),
}

impl Destinations {
    /// Starts the configured destinations, and those that were removed but still have calls.
    /// Errors: what is kept cannot be written. Nothing has begun then.
    pub async fn start(
        deps: Deps,
        positions: Positions,
        configured: Vec<DestinationSettings>,
    ) -> Result<Self, CommandError> {
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        let shown = Arc::default();
        let mut runner = Runner {
            deps,
            positions: Some(positions),
            configured: BTreeMap::new(),
            queues: BTreeMap::new(),
            lanes: BTreeMap::new(),
            tasks: JoinSet::new(),
            copying: None,
            is_sweep_due: true,
            copy_again_at: Duration::ZERO,
            reading: Arc::default(),
            shown: Arc::clone(&shown),
            alarmed: BTreeSet::new(),
            damage: BTreeSet::new(),
            logged: Logged::default(),
            stop: stop.clone(),
            abort: abort.clone(),
        };
        runner.mend(&configured).await?;
        runner.set(configured).await?;
        let mut supervised = Supervised::new(&runner.deps.alarms, "destinations").with_restarts(0, RESTARTS);
        let running = tokio::spawn(async move {
            if caught(runner.run(inbox)).await.is_err() {
                supervised.panicked();
            }
        });
        Ok(Self { commands, shown, stop, abort, running: Arc::new(Mutex::new(Some(running))) })
    }

    /// Takes other settings: calls that come from now on go as they say, and those that wait go where they
    /// would have. Errors: [`CommandError`]. Everything is then as before.
    pub async fn set(&self, configured: Vec<DestinationSettings>) -> Result<(), CommandError> {
        self.ask(|reply| Command::Set(configured, reply)).await
    }

    /// Drops what waits for a destination that was removed from the configuration.
    pub async fn discard(&self, name: SourceId) -> Result<(), CommandError> {
        self.ask(|reply| Command::Discard(name, reply)).await
    }

    async fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<(), CommandError>>) -> Command,
    ) -> Result<(), CommandError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| CommandError::Ending)?;
        answer.await.map_err(|_| CommandError::Ending)?
    }

    /// Every destination.
    pub fn shown(&self) -> BTreeMap<SourceId, Shown> {
        lock(&self.shown).clone()
    }

    /// Ends at once, as when the process dies: nothing more is noted. For tests of crashes.
    pub async fn kill(&self) {
        let Some(running) = lock(&self.running).take() else { return };
        running.abort();
        // An aborted task that did not end by itself is no error.
        drop(running.await);
    }

    /// Sends nothing more, waits for the invocations under way, at most for `patience`, and notes how far
    /// each function has come.
    pub async fn stop(&self, patience: Duration) {
        self.stop.cancel();
        let Some(mut running) = lock(&self.running).take() else { return };
        if tokio::time::timeout(patience, &mut running).await.is_err() {
            self.abort.cancel();
            if let Err(error) = running.await {
                tracing::error!(%error, "the task of destinations panicked; this is a bug in Forebay");
            }
        }
    }
}

struct RunningLane {
    /// Calls up to here become dead letters, because they take more of the disk than they may.
    give_up_through: Arc<AtomicU64>,
    orders: watch::Sender<Arc<Orders>>,
    progress: Arc<Progress>,
    stop: CancellationToken,
}

/// Lines that are being copied into the queue of a lane.
type Copying = (LaneId, JoinHandle<io::Result<(Piece, Losses)>>);

/// What is logged once a minute.
#[derive(Default)]
struct Logged {
    not_kept: OnceAMinute<()>,
    not_released: OnceAMinute<()>,
    not_opened: OnceAMinute<LaneId>,
    not_copied: OnceAMinute<LaneId>,
    given_up: OnceAMinute<LaneId>,
}

struct Runner {
    deps: Deps,
    /// The file of positions; `None` only while it is written.
    positions: Option<Positions>,
    configured: BTreeMap<SourceId, DestinationSettings>,
    /// The queues of all lanes that are kept, except those whose pieces could not be listed.
    queues: BTreeMap<LaneId, Arc<Queue>>,
    lanes: BTreeMap<LaneId, RunningLane>,
    tasks: JoinSet<()>,
    copying: Option<Copying>,
    /// Whether there may be pieces of lanes that are no longer kept.
    is_sweep_due: bool,
    /// Nothing is copied before this time (monotonic).
    copy_again_at: Duration,
    /// Lanes read with it. Nobody reads while their orders change, or while lines move into a queue.
    reading: Arc<RwLock<()>>,
    shown: Arc<Mutex<BTreeMap<SourceId, Shown>>>,
    alarmed: BTreeSet<String>,
    /// What was found to be damaged at the start, by subject.
    damage: BTreeSet<(String, String)>,
    logged: Logged,
    stop: CancellationToken,
    abort: CancellationToken,
}

impl Runner {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut ticks = tokio::time::interval(KEEP_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // A seed of the simulation decides everything, so chance does not decide here.
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {}
                _ = ticks.tick() => {}
                (lane, piece) = copied_piece(&mut self.copying) => self.copied(lane, piece).await,
                Some(command) = inbox.recv() => {
                    // Nobody waits for the answer of a request that was given up.
                    match command {
                        Command::Set(configured, reply) => drop(reply.send(self.change(configured).await)),
                        Command::Discard(name, reply) => drop(reply.send(self.discard(name).await)),
                    }
                }
            }
            // A stop that comes after this is seen in the next round, which notes what is finished by then.
            let ends = self.stop.is_cancelled();
            if ends {
                while self.tasks.join_next().await.is_some() {}
                if self.copying.is_some() {
                    let (lane, piece) = copied_piece(&mut self.copying).await;
                    self.copied(lane, piece).await;
                }
            }
            while self.tasks.try_join_next().is_some() {}
            let kept = self.current();
            if let Err(error) = self.keep(kept, None).await {
                self.not_kept(&error);
            }
            self.arrange().await;
            if !ends {
                self.relieve();
            }
            self.report();
            if ends {
                return;
            }
        }
    }

    fn kept(&self) -> All {
        self.positions.as_ref().map(|positions| positions.kept().clone()).unwrap_or_default()
    }

    fn finished(&self) -> BTreeMap<LaneId, u64> {
        let more = u64::from(planted(PlantedBug::PositionKeptTooFar));
        let finished = |lane: &RunningLane| lane.progress.finished_through() + more;
        self.lanes.iter().map(|(id, lane)| (id.clone(), finished(lane))).collect()
    }

    /// What is to be kept now.
    fn current(&self) -> All {
        // A lane reports a loss before it passes it.
        let finished = self.finished();
        let (mut lost, mut ahead) = (BTreeMap::new(), BTreeMap::new());
        for (id, lane) in &self.lanes {
            let seen = lane.progress.seen();
            lost.insert(id.clone(), seen.lost.clone());
            ahead.insert(id.clone(), seen.ahead.clone());
        }
        advanced(with_ahead(with_losses(self.kept(), lost), ahead), &finished)
    }

    /// Writes what is to be kept. Only then the log may release what it no longer names. Lines that were
    /// `copied` into a queue are read from there once it is written.
    async fn keep(&mut self, kept: All, copied: Option<(Arc<Queue>, Piece)>) -> io::Result<()> {
        let Some(mut positions) = self.positions.take() else {
            return Err(io::Error::other("an earlier write panicked"));
        };
        let has_all = positions.has(&kept) && copied.is_none();
        if has_all && !self.queues.iter().any(|(id, queue)| queue.has_finished(finished_in(&kept, id))) {
            self.hold(&positions);
            self.positions = Some(positions);
            return Ok(());
        }
        // Lines move from the log into a queue only between two reads.
        let unread = match &copied {
            Some(_) => Some(Arc::clone(&self.reading).write_owned().await),
            None => None,
        };
        let queues = self.queues.clone();
        let written = self.deps.disk_work.spawn(move || {
            let written = positions.keep(kept);
            if let (Ok(()), Some((queue, piece))) = (&written, copied) {
                queue.publish(piece);
            }
            let release =
                |(id, queue): (&LaneId, &Arc<Queue>)| queue.finished(finished_in(positions.kept(), id));
            let released = if written.is_ok() { queues.iter().try_for_each(release) } else { Ok(()) };
            (positions, written, released)
        });
        // After a panic there are no positions, and nothing can go on safely.
        let Some((positions, written, released)) = joined(written.await) else {
            return Err(io::Error::other("the process ends"));
        };
        self.hold(&positions);
        drop(unread);
        self.positions = Some(positions);
        // What is written is in force, whatever is left to be removed: lanes that went on by other orders would pass
        // over calls of others. The next round removes it.
        if let Err(error) = released {
            self.not_released(&error);
        }
        written
    }

    /// Lets the log release what is no longer needed.
    fn hold(&self, positions: &Positions) {
        let more = u64::from(planted(PlantedBug::HeldTooFar));
        self.deps.follow.hold_after(positions.lowest().map(|lowest| lowest + more));
    }

    fn not_kept(&mut self, error: &io::Error) {
        if let Some(line) = self.logged.not_kept.happened((), self.deps.clock.monotonic()) {
            tracing::warn!(
                %error,
                times = line.times,
                "what is kept of destinations cannot be written: the spool keeps what they finish meanwhile"
            );
        }
    }

    fn not_released(&mut self, error: &io::Error) {
        if let Some(line) = self.logged.not_released.happened((), self.deps.clock.monotonic()) {
            tracing::warn!(
                %error,
                times = line.times,
                "what destinations had queued and have finished cannot be removed, and takes space until it can"
            );
        }
    }

    /// Removes what earlier runs left of lanes that are no longer kept.
    async fn sweep(&self) -> io::Result<()> {
        let (disk, lanes) = (Arc::clone(&self.deps.disk), positions::lanes(&self.kept()));
        let sweeping = self.deps.disk_work.spawn(move || Queue::sweep(&*disk, lanes.keys()));
        sweeping.await.map_err(io::Error::other)?
    }

    /// Opens the queues of lanes that have none, and forgets those of lanes that are no longer kept.
    async fn open_queues(&mut self) {
        let kept = self.kept();
        let lanes = positions::lanes(&kept);
        self.is_sweep_due |= self.queues.keys().any(|lane| !lanes.contains_key(lane));
        self.queues.retain(|lane, _| lanes.contains_key(lane));
        for (lane, (finished, copied)) in &lanes {
            if self.queues.contains_key(lane) {
                continue;
            }
            let (disk, id, range) = (Arc::clone(&self.deps.disk), lane.clone(), (*finished, *copied));
            let pieces = positions::pieces(&kept, lane).to_vec();
            let opening = self.deps.disk_work.spawn(move || {
                let queue = Queue::open(disk, &id, range, &pieces)?;
                let cut = queue.cut()?;
                Ok((queue, cut))
            });
            match opening.await.map_err(io::Error::other).and_then(|opened| opened) {
                Ok((queue, cut)) => {
                    self.queues.insert(lane.clone(), Arc::new(queue));
                    self.damage.extend(cut.into_iter().map(|(_, what)| (alarm::subject(lane), what)));
                }
                Err(error) => {
                    if self.logged.not_opened.happened(lane.clone(), self.deps.clock.monotonic()).is_some() {
                        tracing::error!(
                            %error,
                            destination = %lane.destination,
                            function = lane.function,
                            "what a destination has queued cannot be listed; until it can, the destination does not begin"
                        );
                    }
                }
            }
        }
        // A piece that is being written would be taken for one that a crash left.
        if self.is_sweep_due && self.copying.is_none() {
            self.is_sweep_due = false;
            if let Err(error) = self.sweep().await {
                tracing::warn!(%error, "what a destination had queued cannot be removed; the next start tries again");
            }
        }
    }

    /// Lines were copied: they count once that is kept, and only then the log may release them.
    async fn copied(&mut self, lane: LaneId, piece: io::Result<(Piece, Losses)>) {
        let now = self.deps.clock.monotonic();
        let (piece, lost) = match piece {
            Ok(piece) => piece,
            Err(error) => {
                self.copy_again_at = now.saturating_add(COPY_AGAIN_AFTER);
                let Some(line) = self.logged.not_copied.happened(lane.clone(), now) else { return };
                tracing::warn!(
                    %error,
                    destination = %lane.destination,
                    function = lane.function,
                    times = line.times,
                    "calls that wait cannot be queued; those beyond the destination's share of the spool become dead letters \
                     until they can"
                );
                return;
            }
        };
        let Some(queue) = self.queues.get(&lane).cloned() else { return };
        if let Some(lane) = self.lanes.get(&lane) {
            let mut seen = lane.progress.seen();
            lost.into_iter().for_each(|(first, loss)| add_loss(&mut seen.lost, first, loss));
        }
        let kept = copied(self.current(), &lane, &piece);
        if let Err(error) = self.keep(kept, Some((queue, piece))).await {
            self.not_kept(&error);
        }
    }

    /// Says which copies of the file are damaged. If both are, makes what is kept from the configuration and
    /// from the files of queues.
    async fn mend(&mut self, configured: &[DestinationSettings]) -> io::Result<()> {
        let Some(positions) = self.positions.take() else { return Ok(()) };
        for what in positions.damaged() {
            tracing::error!(
                "{what}; what is kept of destinations is taken from its copy, if that can be used"
            );
        }
        if !positions.is_lost() {
            self.positions = Some(positions);
            return Ok(());
        }
        let configured = configured.to_vec();
        let mending = self.deps.disk_work.spawn(move || {
            let lanes = configured.iter().flat_map(|one| {
                let lane =
                    |function: &str| LaneId { destination: one.name.clone(), function: function.to_owned() };
                one.selection.all_functions().into_iter().map(lane).collect::<Vec<_>>()
            });
            let found = positions.find_pieces(&lanes.collect::<Vec<_>>());
            (positions, found.map(|found| rebuilt(&configured, &found)))
        });
        let (positions, kept) = mending.await.map_err(io::Error::other)?;
        self.damage.insert((
            LIST.to_owned(),
            format!(
                "{}: how far each function was is lost. The destinations of the configuration get everything again that is \
                 still in the spool or in their queues: calls may be sent twice. Queues of others are in quarantine. \
                 What is archived can be sent with `forebay destinations replay NAME --from TIME`",
                positions.damaged().join("; ")
            ),
        ));
        self.positions = Some(positions);
        self.keep(kept?, None).await
    }

    /// A start is never refused: it adds one change at most.
    async fn change(&mut self, configured: Vec<DestinationSettings>) -> Result<(), CommandError> {
        let full = |(name, one): (&SourceId, &Kept)| (one.routes.len() >= ROUTES_MAX).then(|| name.clone());
        match self.kept().iter().find_map(full) {
            Some(name) => Err(CommandError::TooManyChanges(name)),
            None => self.set(configured).await,
        }
    }

    async fn set(&mut self, configured: Vec<DestinationSettings>) -> Result<(), CommandError> {
        // A lane that read calls after `now` by its old orders would take or pass over calls that are now for
        // others.
        let unread = Arc::clone(&self.reading).write_owned().await;
        let now = self.deps.follow.durable_through();
        let before = self.kept();
        // Held before the first line is read, and noted before the log may release less.
        self.deps.follow.hold_after(positions::lowest(&before).into_iter().chain([now]).min());
        let kept = reconfigured(self.current(), &configured, now);
        self.keep(kept, None).await?;
        self.configured = configured.into_iter().map(|one| (one.name.clone(), one)).collect();
        self.give_orders();
        self.arrange().await;
        drop(unread);
        Ok(())
    }

    async fn discard(&mut self, name: SourceId) -> Result<(), CommandError> {
        if self.configured.contains_key(&name) {
            return Err(CommandError::Configured(name));
        }
        let mut kept = self.current();
        let Some(dropped) = kept.remove(&name) else { return Err(CommandError::Unknown(name)) };
        self.keep(kept, None).await?;
        tracing::info!(destination = %name, functions = dropped.lanes.len(), "what waited for a removed destination is dropped");
        self.arrange().await;
        Ok(())
    }

    fn orders(&self, name: &SourceId, kept: &Kept) -> Orders {
        let routes = kept.routes.clone();
        let functions = self.kept().values().map(|one| one.lanes.len()).sum();
        let at_once = concurrency_max(self.deps.handles, functions);
        let configured = self.configured.get(name).cloned();
        let settings = configured.map_or_else(|| self.deps.equipment.settings(&kept.typed), Ok);
        let usable = settings.and_then(|mut settings| {
            if settings.concurrency > at_once {
                tracing::warn!(
                    destination = %name, concurrency = settings.concurrency, at_once, functions,
                    "the process may open few files, so each function is invoked fewer times at once than its destination \
                     says: raise LimitNOFILE"
                );
                settings.concurrency = at_once;
            }
            let invoke = self.deps.equipment.invoker(&settings).map_err(|error| error.to_string())?;
            Ok((settings, invoke))
        });
        match usable {
            Ok((settings, invoke)) => Orders { routes, settings, invoke, is_usable: true },
            Err(what) => {
                let what = format!(
                    "the settings that were kept of the removed destination {name} cannot be used: {what}; put it back into the \
                     configuration, or drop what waits: forebay destinations remove {name} --discard"
                );
                Orders {
                    routes,
                    settings: DestinationSettings::of_no_function(name.clone()),
                    invoke: Arc::new(Unusable { class: Class::InvalidCredentials, what: Told::plain(what) }),
                    is_usable: false,
                }
            }
        }
    }

    /// Tells every running lane how it works now.
    fn give_orders(&self) {
        let kept = self.kept();
        for (name, one) in &kept {
            let orders = Arc::new(self.orders(name, one));
            for (_, lane) in self.lanes.iter().filter(|(id, _)| id.destination == *name) {
                lane.orders.send_replace(Arc::clone(&orders));
            }
        }
    }

    /// Starts lanes that are kept and do not run, stops those that are no longer kept, and shows all.
    async fn arrange(&mut self) {
        self.open_queues().await;
        let kept = self.kept();
        let is_kept =
            |id: &LaneId| kept.get(&id.destination).is_some_and(|one| one.lanes.contains_key(&id.function));
        self.lanes.retain(|id, lane| {
            let stays = is_kept(id);
            if !stays {
                lane.stop.cancel();
            }
            stays
        });
        let mut shown = lock(&self.shown).clone();
        shown.retain(|name, _| kept.contains_key(name) || self.configured.contains_key(name));
        for (name, one) in &kept {
            let entry = shown.entry(name.clone()).or_default();
            entry.settings = self.configured.get(name).cloned().or_else(|| entry.settings.take());
            entry.removed = one.removed;
            entry.lanes.retain(|function, _| one.lanes.contains_key(function));
            let new: Vec<(&String, u64)> = one
                .lanes
                .iter()
                .filter(|(function, _)| !entry.lanes.contains_key(*function))
                .map(|(function, finished)| (function, *finished))
                .collect();
            if new.is_empty() {
                continue;
            }
            let orders = Arc::new(self.orders(name, one));
            entry.settings = Some(orders.settings.clone());
            for (function, finished) in new {
                let id = LaneId { destination: name.clone(), function: function.clone() };
                let Some(queue) = self.queues.get(&id) else { continue };
                let lost = one.lost.get(function).cloned().unwrap_or_default();
                let ahead = one.ahead.get(function).cloned();
                let progress = Arc::new(Progress::new(finished, ahead, lost, Arc::clone(&entry.records)));
                let (sender, receiver) = watch::channel(Arc::clone(&orders));
                let (stop, give_up_through) = (self.stop.child_token(), Arc::<AtomicU64>::default());
                let steered = Steered {
                    orders: receiver,
                    reading: Arc::clone(&self.reading),
                    give_up_through: Arc::clone(&give_up_through),
                };
                let name = format!("destination {}", alarm::subject(&id));
                let supervised = Supervised::new(&self.deps.alarms, name)
                    .with_restarts(u32::MAX, RESTARTS)
                    .ended_by(self.abort.clone());
                let lane = (
                    self.deps.of_lane(),
                    id.clone(),
                    steered,
                    Some(Arc::clone(queue)),
                    Arc::clone(&progress),
                );
                let (stop_lane, abort) = (stop.clone(), self.abort.clone());
                // A lane that panicked is restarted from what it had finished.
                let start = move || {
                    let (deps, id, steered, queue, progress) = lane.clone();
                    LaneTask::new(deps, id, steered, queue, progress).run(stop_lane.clone(), abort.clone())
                };
                self.tasks.spawn(keep(supervised, start));
                entry.lanes.insert(function.clone(), Arc::clone(&progress));
                self.lanes.insert(id, RunningLane { give_up_through, orders: sender, progress, stop });
            }
        }
        *lock(&self.shown) = shown;
    }

    /// Keeps destinations within their share of the disk: lines of the lane that keeps the most of the log
    /// are copied into its queue, and the oldest calls of a queue that is too long become dead letters.
    fn relieve(&mut self) {
        let mut give_up: BTreeMap<LaneId, u64> = self.too_long();
        let held = self.deps.follow.held_bytes();
        let last = self
            .queues
            .iter()
            .map(|(id, queue)| (self.finished_by(id).max(queue.copied_through()), id))
            .min()
            .map(|(after, id)| (after, id.clone()));
        // As long as it is not certain what the file of positions says, no piece may be replaced.
        let may_copy = self.copying.is_none() && self.positions.as_ref().is_some_and(Positions::is_certain);
        if let Some((after, id)) = last
            && may_copy
        {
            let most = self.deps.share.min(self.max_queue(&id));
            if held > most && !self.has_space_to_copy(&id) {
                let of_lane = give_up.entry(id).or_default();
                *of_lane = self.deps.follow.held_end(held - most).max(*of_lane);
            } else if held > most {
                // The queue shrinks to less than its maximum, so that pieces are few.
                let through = self.deps.follow.held_end(held - most / 4 * 3);
                // The log does not yet know what was finished since the last round.
                if through > after {
                    self.copy(id, through, held <= LEISURE_SHARES.saturating_mul(most));
                }
            }
        }
        if may_copy && self.copying.is_none() {
            self.need_few_routes();
        }
        for (id, lane) in &self.lanes {
            let through = give_up.get(id).copied().unwrap_or_default();
            let before = lane.give_up_through.swap(through, Ordering::Relaxed);
            if through > before.max(lane.progress.finished_through())
                && let Some(line) = self.logged.given_up.happened(id.clone(), self.deps.clock.monotonic())
            {
                tracing::warn!(
                    destination = %id.destination,
                    function = id.function,
                    held_bytes = held,
                    times = line.times,
                    "a destination takes more of the disk than it may: its oldest calls become dead letters"
                );
            }
        }
    }

    /// Copies what waits since long before many changes of a selection, so that their routes can be
    /// forgotten.
    fn need_few_routes(&mut self) {
        let kept = self.kept();
        let mut wanted = kept
            .iter()
            .filter_map(|(name, one)| Some((name, one.copied_for_few_routes()?)))
            .flat_map(|(name, through)| {
                self.queues
                    .iter()
                    .filter(move |(id, _)| id.destination == *name)
                    .map(move |lane| (lane, through))
            })
            .map(|((id, queue), through)| (self.finished_by(id).max(queue.copied_through()), id, through))
            .filter(|(after, id, through)| after < through && self.has_space_to_copy(id));
        if let Some((_, id, through)) = wanted.next() {
            let id = id.clone();
            drop(wanted);
            self.copy(id, through, true);
        }
    }

    fn finished_by(&self, id: &LaneId) -> u64 {
        self.lanes.get(id).map_or(0, |lane| lane.progress.finished_through())
    }

    /// Whether lines may be copied into a queue. Space for another piece is left free: what waits must not
    /// take the last space, which is needed to free some.
    fn has_space_to_copy(&self, id: &LaneId) -> bool {
        self.deps.clock.monotonic() >= self.copy_again_at
            && self.deps.disk.free_bytes().is_none_or(|free| free >= 2 * self.piece_bytes(id))
    }

    /// The most bytes that are copied into a queue at a time.
    fn piece_bytes(&self, id: &LaneId) -> u64 {
        (self.max_queue(id) / PIECES_MIN).min(self.deps.share / PIECES_OF_SHARE).min(PIECE_BYTES_MAX)
    }

    fn max_queue(&self, id: &LaneId) -> u64 {
        self.lanes.get(id).map_or(u64::MAX, |lane| lane.orders.borrow().settings.max_queue)
    }

    /// The lane with the longest queue of each destination whose queues are too long, and how far it must
    /// give up.
    fn too_long(&self) -> BTreeMap<LaneId, u64> {
        let mut queued: BTreeMap<&SourceId, Vec<(u64, &LaneId)>> = BTreeMap::new();
        for (id, queue) in &self.queues {
            queued.entry(&id.destination).or_default().push((queue.bytes(), id));
        }
        let mut give_up = BTreeMap::new();
        for lanes in queued.into_values() {
            let all: u64 = lanes.iter().map(|(bytes, _)| bytes).sum();
            let Some((_, id)) = lanes.into_iter().max() else { continue };
            let over = all.saturating_sub(self.max_queue(id));
            if let Some(queue) = self.queues.get(id).filter(|_| over > 0) {
                give_up.insert(id.clone(), queue.end_of_oldest(over));
            }
        }
        give_up
    }

    /// Copies lines into a queue; `at_leisure`: whenever nothing else has work to do.
    fn copy(&mut self, lane: LaneId, through: u64, at_leisure: bool) {
        let (Some(queue), Some(one)) = (self.queues.get(&lane), self.kept().remove(&lane.destination)) else {
            return;
        };
        let (queue, log) = (Arc::clone(queue), Arc::clone(&self.deps.follow));
        let (function, finished) = (lane.function.clone(), self.finished_by(&lane));
        // The oldest piece is given up as a whole, and a full spool has space for little.
        let most = self.piece_bytes(&lane);
        let clock = Arc::clone(&self.deps.clock);
        let work = if at_leisure { &self.deps.copy_work } else { &self.deps.disk_work };
        let task = work.spawn(move || {
            let mut give_way = at_leisure.then(|| GiveWay::new(&*clock));
            let mut after_line = |bytes| {
                if let Some(give_way) = &mut give_way {
                    give_way.after(bytes);
                }
            };
            queue.copy((&*log, &mut after_line), (&one.routes, &function), (finished, through), most)
        });
        self.copying = Some((lane, task));
    }

    /// Sets gauges, and raises or clears alarms.
    fn report(&mut self) {
        let (end, now) = (self.deps.follow.durable_through(), self.deps.clock.monotonic());
        let mut damage: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (subject, what) in &self.damage {
            damage.entry(subject.clone()).or_default().push(what.clone());
        }
        let mut standing = BTreeSet::new();
        let mut waiting: BTreeMap<&SourceId, (u64, u64)> = BTreeMap::new();
        for (id, lane) in &self.lanes {
            let seen = lane.progress.seen();
            let (calls, unread) = waiting.entry(&id.destination).or_default();
            *calls = calls.saturating_add(seen.waiting_calls());
            *unread = seen.unread_lines(end).max(*unread);
            let lost = lost_calls(&seen.lost);
            if lost > seen.lost_before {
                damage.entry(alarm::subject(id)).or_default().push(alarm::lost(&seen.lost, &id.destination));
            }
            let removed = !self.configured.contains_key(&id.destination);
            if let Some(alarm) = alarm::of(id, &seen, removed, now) {
                let subject = alarm::subject(id);
                self.deps.alarms.raise_of(AlarmKind::Destination, &subject, alarm.what, alarm.began);
                standing.insert(subject);
            }
        }
        for (subject, what) in damage {
            let (kind, what) = (AlarmKind::Damage, what.join("; "));
            self.deps.alarms.raise(kind, &format!("destination {subject}"), what);
        }
        for (name, (calls, unread)) in waiting {
            let label = DestinationLabel { dest: name.as_str().to_owned() };
            let metrics = &self.deps.metrics;
            for (gauge, count) in
                [(&metrics.destination_waiting, calls), (&metrics.destination_unread, unread)]
            {
                gauge.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
        for over in self.alarmed.difference(&standing) {
            self.deps.alarms.clear(AlarmKind::Destination, over);
        }
        self.alarmed = standing;
        self.deps
            .metrics
            .destinations_held_bytes
            .set(i64::try_from(self.deps.follow.held_bytes()).unwrap_or(i64::MAX));
    }
}

/// The piece that is being copied, when it is; never, if none is.
async fn copied_piece(copying: &mut Option<Copying>) -> (LaneId, io::Result<(Piece, Losses)>) {
    let Some((lane, task)) = copying else { return std::future::pending().await };
    let copied = (lane.clone(), task.await.map_err(io::Error::other).and_then(|piece| piece));
    *copying = None;
    copied
}

/// How far a function has finished; 0 if it is not kept.
fn finished_in(kept: &All, id: &LaneId) -> u64 {
    kept.get(&id.destination).and_then(|one| one.lanes.get(&id.function)).copied().unwrap_or_default()
}
