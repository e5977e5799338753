//! Work with a bucket beside a world, one of them at a time: a pass, a round over rejected rows, or a release
//! of claims.
//!
//! A pass waits on threads of its own, so it has a thread and a runtime. It stops at each request to the store,
//! at each call of its target, and while its calls wait for the log. Only then the world goes on, and the pass
//! goes on when the world says so. So every schedule is repeated exactly, and a life can end at each of these
//! places, or at any change of the disk in between. Waits before a retry take no time.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use forebay::boxed_future::BoxFuture;
use forebay::import::bucket_import::{
    BucketImport, PassDeps, PassReport, RetryReport, Scan, pass, retry_rejects,
};
use forebay::import::claims::{Released, Releasing};
use forebay::import::{Begin, Begun, Counters, End, Importer, Rows, RowsTaken, Target, TargetError, named};
use forebay::log::{Append, AppendError, Appended, RequestFrames};
use forebay::planted_bugs::{PlantedBug, plant, planted};
use forebay::time::{Clock, UnixMillis};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::lake::Lake;
use super::objects::Objects;
use super::process::Seeded;
use crate::support::sim_disk::Dice;

/// Real time after which a pass that neither waits nor ends is a bug.
const HANGS: Duration = Duration::from_secs(60);
/// The step of a pass's own clock while it works: waits before a retry end at once.
const CLOCK_STEP: Duration = Duration::from_secs(60);
/// Bytes of calls of a step: about three calls, so that files have several steps.
const STEP_BYTES: usize = 600;

/// What becomes of a request to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Proper,
    /// The store cannot be reached now.
    Fails,
    /// Access is denied, for once.
    Denied,
    /// Only so many bytes of a range come.
    Cut(usize),
    /// A write or a change is done, and its answer is lost.
    Lost,
}

/// Where a pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// It works, and the world waits.
    Working,
    /// It is about to make a request to the bucket or to the shared journal.
    Store(&'static str),
    /// It is about to call its target.
    Target,
    /// Its calls wait for the log.
    Append,
    /// It has ended.
    Ended,
}

/// What is done with a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Pass,
    /// Rejected rows are read again.
    Retry,
    /// The open claims of the instance with this id are released.
    Release(String),
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Worked {
    Pass(Box<Result<PassReport, String>>),
    Retried(Result<RetryReport, String>),
    Released(Result<Released, String>),
}

type AppendAnswer = Result<Appended, AppendError>;

#[derive(Debug)]
struct Shared {
    at: At,
    gate: Option<oneshot::Sender<Fate>>,
    frames: Option<RequestFrames>,
    reply: Option<oneshot::Sender<AppendAnswer>>,
    answer: Option<AppendAnswer>,
    /// The pass was told to stop: its reader makes no more requests that the world must see.
    is_stopping: bool,
    is_killed: bool,
    /// Whether the pass may be waiting before a retry.
    needs_time: bool,
    ended: Option<Worked>,
    wrong: Option<String>,
    /// The world's wall and monotonic clocks when the pass went on.
    now: (UnixMillis, Duration),
}

/// What a pass and its world share.
#[derive(Debug)]
pub(super) struct Baton {
    shared: Mutex<Shared>,
    came: Condvar,
    goes_on: Notify,
}

impl Baton {
    pub(super) fn new(now: (UnixMillis, Duration)) -> Self {
        let shared = Shared {
            at: At::Ended,
            gate: None,
            frames: None,
            reply: None,
            answer: None,
            is_stopping: false,
            is_killed: false,
            needs_time: false,
            ended: None,
            wrong: None,
            now,
        };
        Self { shared: Mutex::new(shared), came: Condvar::new(), goes_on: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn at(&self) -> At {
        self.lock().at
    }

    /// Waits in the pass until the world lets it go on.
    pub(super) async fn gate(&self, at: At) -> Fate {
        let granted = {
            let mut shared = self.lock();
            if shared.is_stopping && at != At::Target {
                return Fate::Fails;
            }
            shared.needs_time = false;
            let (grant, granted) = oneshot::channel();
            if shared.at != At::Working || shared.gate.replace(grant).is_some() {
                let what = format!("I11: the pass is at {at:?} and at {:?}", shared.at);
                shared.wrong.get_or_insert(what);
            }
            shared.at = at;
            self.came.notify_all();
            granted
        };
        // A pass that is killed comes no further.
        let Ok(fate) = granted.await else { return pending().await };
        if fate != Fate::Proper {
            self.needs_time();
        }
        fate
    }

    /// The pass may wait before a retry: its clock goes on.
    fn needs_time(&self) {
        self.lock().needs_time = true;
        self.goes_on.notify_one();
    }

    /// Lets the pass go on, until it waits or ends.
    fn go_on(&self, now: (UnixMillis, Duration), with: impl FnOnce(&mut Shared)) -> At {
        let mut shared = self.lock();
        (shared.now, shared.at) = (now, At::Working);
        with(&mut shared);
        self.goes_on.notify_one();
        while shared.at == At::Working {
            let (woken, waited) =
                self.came.wait_timeout(shared, HANGS).unwrap_or_else(PoisonError::into_inner);
            shared = woken;
            assert!(!waited.timed_out(), "a pass neither waits nor ends");
        }
        shared.at
    }

    /// The calls that the pass appends, once.
    pub(super) fn frames(&self) -> Option<RequestFrames> {
        self.lock().frames.take()
    }

    /// The log has answered.
    pub(super) fn answered(&self, answer: AppendAnswer) {
        self.lock().answer = Some(answer);
    }

    pub(super) fn is_answered(&self) -> bool {
        self.lock().answer.is_some()
    }

    pub(super) fn wrong(&self) -> Option<String> {
        self.lock().wrong.clone()
    }
}

/// The world's clock, as it was when the pass went on: a pass has a runtime with a clock of its own.
#[derive(Debug)]
pub(super) struct PassClock(pub(super) Arc<Baton>);

impl Clock for PassClock {
    fn wall(&self) -> UnixMillis {
        self.0.lock().now.0
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().now.1
    }
}

/// Hands the calls of a pass to its world, which appends them.
#[derive(Debug)]
pub(super) struct HandedOver {
    pub(super) appender: Arc<dyn Append>,
    pub(super) baton: Arc<Baton>,
}

impl Append for HandedOver {
    fn not_before(&self) -> UnixMillis {
        self.appender.not_before()
    }

    fn append(&self, frames: RequestFrames) -> BoxFuture<'_, AppendAnswer> {
        Box::pin(async move {
            let answered = {
                let mut shared = self.baton.lock();
                let (reply, answered) = oneshot::channel();
                (shared.at, shared.frames, shared.reply) = (At::Append, Some(frames), Some(reply));
                self.baton.came.notify_all();
                answered
            };
            match answered.await {
                Ok(answer) => answer,
                Err(_) => pending().await,
            }
        })
    }
}

/// The importer, with what is noted of each call.
#[derive(Debug)]
struct Noting {
    importer: Arc<Importer>,
    objects: Objects,
    baton: Arc<Baton>,
    /// Whether rejected rows are read again.
    is_round: bool,
}

impl Noting {
    fn failed<T>(&self, answer: Result<T, TargetError>) -> Result<T, TargetError> {
        if answer.is_err() {
            self.baton.needs_time();
        }
        answer
    }
}

impl Target for Noting {
    fn begin(&self, file: Begin) -> BoxFuture<'_, Result<Begun, TargetError>> {
        Box::pin(async move {
            self.baton.gate(At::Target).await;
            let begun = self.importer.begin(file).await;
            self.objects.begun(&begun, self.is_round);
            self.failed(begun)
        })
    }

    fn rows(&self, rows: Rows, calls: Bytes) -> BoxFuture<'_, Result<RowsTaken, TargetError>> {
        Box::pin(async move {
            self.baton.gate(At::Target).await;
            let calls = self.objects.sent(&rows, &calls);
            let taken = self.importer.rows(rows, calls).await;
            self.objects.taken(&rows, &taken);
            self.failed(taken)
        })
    }

    fn end(&self, end: End) -> BoxFuture<'_, Result<(), TargetError>> {
        Box::pin(async move {
            self.baton.gate(At::Target).await;
            let (import, outcome) = (end.import, end.outcome.clone());
            let ended = self.importer.end(end).await;
            self.objects.ended(import, &outcome, &ended);
            self.failed(ended)
        })
    }
}

/// A pass that was begun.
#[derive(Debug)]
pub(super) struct Passing {
    pub(super) baton: Arc<Baton>,
    stop: CancellationToken,
    /// Whether the pass is to stop when it goes on.
    stops: AtomicBool,
    thread: Option<JoinHandle<()>>,
}

impl Passing {
    /// Begins work, until it waits for the first time.
    pub(super) fn begin(
        work: Work,
        import: BucketImport,
        (importer, objects): (Arc<Importer>, Objects),
        baton: Arc<Baton>,
        (dice, now): (Dice, (UnixMillis, Duration)),
    ) -> Self {
        let stop = CancellationToken::new();
        let lake = Arc::new(Lake::new(objects.clone(), Arc::clone(&baton)));
        let deps = PassDeps {
            store: Arc::<Lake>::clone(&lake) as _,
            changer: Some(lake),
            target: Arc::new(Noting {
                importer: Arc::clone(&importer),
                objects,
                baton: Arc::clone(&baton),
                is_round: work == Work::Retry,
            }),
            journal: importer.journal(),
            importer,
            clock: Arc::new(PassClock(Arc::clone(&baton))),
            random: Arc::new(Seeded(Mutex::new(dice))),
            counters: Counters::default(),
            other_compressions: Arc::default(),
            columns: Arc::default(),
            again: false,
            scan: Scan::Full,
            stop: stop.clone(),
            whole: true,
            list_again: None,
            patience: None,
            step_bytes: Some(STEP_BYTES),
        };
        let bug = PlantedBug::ALL.into_iter().find(|bug| planted(*bug));
        let mut thread = None;
        baton.go_on(now, |shared| {
            (shared.is_stopping, shared.ended) = (false, None);
            let baton = Arc::clone(&baton);
            thread = Some(std::thread::spawn(move || {
                plant(bug);
                run(bug, &baton, work, (import, deps));
            }));
        });
        Self { baton, stop, stops: AtomicBool::new(false), thread }
    }

    /// Lets the pass go on after a request or a call.
    pub(super) fn go_on(&self, fate: Fate, now: (UnixMillis, Duration)) -> At {
        self.baton.go_on(now, |shared| {
            self.stop_if_wanted(shared);
            if let Some(gate) = shared.gate.take() {
                // Who waited may have gone: the pass was stopped.
                gate.send(fate).unwrap_or_default();
            }
        })
    }

    /// Gives the pass the answer of the log.
    pub(super) fn answer(&self, now: (UnixMillis, Duration)) -> At {
        self.baton.go_on(now, |shared| {
            self.stop_if_wanted(shared);
            let (answer, reply) = (shared.answer.take().unwrap(), shared.reply.take().unwrap());
            drop(reply.send(answer));
        })
    }

    /// Tells the pass to stop when it goes on. It goes on as far as it must.
    pub(super) fn stop(&self) {
        self.stops.store(true, Ordering::SeqCst);
    }

    fn stop_if_wanted(&self, shared: &mut Shared) {
        if self.stops.load(Ordering::SeqCst) {
            (shared.is_stopping, shared.needs_time) = (true, true);
            self.stop.cancel();
        }
    }

    /// What became of the work, once it has ended.
    pub(super) fn ended(&self) -> Option<Worked> {
        self.baton.lock().ended.take()
    }
}

impl Drop for Passing {
    /// The pass ends where it is, as in a kill.
    fn drop(&mut self) {
        {
            let mut shared = self.baton.lock();
            (shared.is_killed, shared.is_stopping) = (true, true);
            (shared.gate, shared.reply, shared.frames) = (None, None, None);
            self.baton.goes_on.notify_one();
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        self.baton.lock().is_killed = false;
    }
}

/// Does the work.
async fn done(work: Work, import: Arc<BucketImport>, deps: PassDeps) -> Worked {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    match work {
        Work::Pass => Worked::Pass(Box::new(pass(import, deps).await.map_err(|error| text(&error)))),
        Work::Retry => {
            let retried = retry_rejects(import, deps, None, false).await;
            Worked::Retried(retried.map_err(|error| text(&error)))
        }
        Work::Release(instance) => {
            let known = named(&*deps.journal, &import.name).ok().flatten();
            let known = known.filter(|known| known.fixed.is_some());
            // As the command does, which asks for a pass first otherwise.
            let Some((known, claims)) = known.zip(import.claims.as_ref()) else {
                return Worked::Released(Ok(Released::default()));
            };
            let releasing = Releasing { instance: &instance, dry_run: false };
            let released = claims.release(&deps.journal, known.id, releasing).await;
            Worked::Released(released.map_err(|error| text(&error)))
        }
    }
}

/// What became of work that panicked.
fn failed(work: &Work, what: String) -> Worked {
    match work {
        Work::Pass => Worked::Pass(Box::new(Err(what))),
        Work::Retry => Worked::Retried(Err(what)),
        Work::Release(_) => Worked::Released(Err(what)),
    }
}

/// Runs work on this thread.
fn run(bug: Option<PlantedBug>, baton: &Arc<Baton>, work: Work, (import, deps): (BucketImport, PassDeps)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .on_thread_start(move || plant(bug))
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut passing = tokio::spawn(done(work.clone(), Arc::new(import), deps));
        let ended = loop {
            let waits = {
                let shared = baton.lock();
                if shared.is_killed {
                    return;
                }
                shared.at == At::Working && shared.needs_time
            };
            tokio::select! {
                biased;
                ended = &mut passing => break ended,
                () = baton.goes_on.notified() => {}
                () = passes(), if waits => {}
            }
        };
        let ended = match ended {
            Ok(ended) => ended,
            Err(panicked) => failed(&work, format!("E-BUG: {panicked}")),
        };
        let mut shared = baton.lock();
        (shared.at, shared.ended) = (At::Ended, Some(ended));
        baton.came.notify_all();
    });
    // A thread that still reads finds that nobody takes what it reads.
    runtime.shutdown_background();
}

/// Lets time pass in a runtime whose threads are at work.
async fn passes() {
    tokio::time::advance(CLOCK_STEP).await;
    tokio::task::yield_now().await;
    std::thread::yield_now();
}
