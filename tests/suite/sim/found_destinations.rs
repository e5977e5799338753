//! Faults of destinations that seeds found, each in the fewest steps that reproduce it.

use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::alarms::Alarms;
use forebay::boxed_future::BoxFuture;
use forebay::call::LineSink as _;
use forebay::destinations::class::Class;
use forebay::destinations::disk_work::DiskWork;
use forebay::destinations::invoke::{Equipment, Invoke, Invoked, Outgoing};
use forebay::destinations::positions::{All, Positions, reconfigured};
use forebay::destinations::runner::{Deps, Destinations};
use forebay::destinations::select::Selection;
use forebay::destinations::settings::{DestinationSettings, FunctionsAt, SecretText, URL};
use forebay::disk::Disk;
use forebay::log::{Append, AppendError, Appended, Follow, Range, ReadThrough, RequestFrames, Visit};
use forebay::metrics::Metrics;
use forebay::sources::SourceId;
use forebay::spool::Stepped;
use forebay::time::UnixMillis;

use super::clock::SimClock;
use super::found::{NOON, append, open, seal_lines};
use super::process::Seeded;
use crate::support::hooked_disk::{Change, hooked_disk};
use crate::support::sim_disk::{Dice, EIO, SimDisk, Trouble};

/// More appends than there can be without a fault.
const APPENDS_MAX: usize = 1_000;

/// Takes dead letters, or refuses them all.
#[derive(Debug, Default)]
struct Graves {
    not_before: UnixMillis,
    refuses: Option<AppendError>,
    appends: Mutex<usize>,
    stored: Mutex<usize>,
}

impl Append for Graves {
    fn not_before(&self) -> UnixMillis {
        self.not_before
    }

    fn append(&self, frames: RequestFrames) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async move {
            *self.appends.lock().unwrap() += 1;
            if *self.appends.lock().unwrap() > APPENDS_MAX {
                return pending().await;
            }
            if let Some(error) = self.refuses {
                return Err(error);
            }
            if frames.received_at() < self.not_before {
                return Err(AppendError::DayOver);
            }
            *self.stored.lock().unwrap() += 1;
            Ok(Appended::default())
        })
    }
}

/// A log of which the second reader seems to keep this much.
#[derive(Debug)]
struct Keeps(Arc<dyn Follow>, u64);

impl Follow for Keeps {
    fn durable_through(&self) -> u64 {
        self.0.durable_through()
    }

    fn hold_after(&self, position: Option<u64>) {
        self.0.hold_after(position);
    }

    fn held_bytes(&self) -> u64 {
        self.1
    }

    fn held_end(&self, _: u64) -> u64 {
        self.0.durable_through()
    }

    fn follow(&self, place: &mut ReadThrough, visit: &mut Visit<'_>) -> io::Result<()> {
        self.0.follow(place, visit)
    }
}

/// A function that notes what it gets, and fails so.
#[derive(Clone, Debug)]
struct Function(Option<Class>, Arc<Mutex<Vec<String>>>);

impl Invoke for Function {
    fn invoke<'a>(&'a self, outgoing: &'a Outgoing) -> BoxFuture<'a, Invoked> {
        Box::pin(async move {
            let ids = outgoing.calls.iter().map(|call| call.message_id.clone());
            self.1.lock().unwrap().extend(ids);
            match self.0 {
                Some(class) => Invoked::failed(class, "it fails".to_owned()),
                None => Invoked::ended(Ok(())),
            }
        })
    }
}

impl Equipment for Function {
    fn invoker(&self, _: &DestinationSettings) -> io::Result<Arc<dyn Invoke>> {
        Ok(Arc::new(self.clone()))
    }

    fn settings(&self, typed: &str) -> Result<DestinationSettings, String> {
        Err(typed.to_owned())
    }
}

/// A destination whose function gets calls of these types.
fn taking(kinds: &[&str]) -> DestinationSettings {
    let name = SourceId::new("crm").unwrap();
    let functions = kinds.iter().map(|kind| ((*kind).to_owned(), URL.to_owned())).collect();
    DestinationSettings {
        selection: Selection { functions, name: name.as_str().to_owned(), ..Selection::default() },
        concurrency: 100,
        max_queue: 0,
        functions_at: FunctionsAt::Url(SecretText(String::new())),
        ..DestinationSettings::of_no_function(name)
    }
}

async fn start(
    (spool, disk): (&Stepped, &SimDisk),
    with: (&Function, &Arc<Graves>),
    bounds: (u64, u64),
    configured: DestinationSettings,
) -> Destinations {
    start_on((spool, disk, Arc::clone(spool.disk())), with, bounds, configured).await
}

async fn start_on(
    (spool, disk, of_queues): (&Stepped, &SimDisk, Arc<dyn Disk>),
    (function, graves): (&Function, &Arc<Graves>),
    (share, held): (u64, u64),
    configured: DestinationSettings,
) -> Destinations {
    let clock = SimClock::new(NOON.0);
    clock.begin_life();
    let metrics = Metrics::new();
    let deps = Deps {
        follow: Arc::new(Keeps(spool.follow(), held)),
        append: Arc::clone(graves) as _,
        equipment: Arc::new(function.clone()),
        alarms: Arc::new(Alarms::new(Arc::new(clock.clone()), Arc::new(metrics.clone()))),
        metrics,
        clock: Arc::new(clock),
        random: Arc::new(Seeded(Mutex::new(Dice(1)))),
        disk: of_queues,
        share,
        disk_work: DiskWork::InPlaceAfter(Duration::from_millis(200)),
        handles: usize::MAX,
        copy_work: DiskWork::InPlaceAfter(Duration::from_millis(200)),
    };
    let positions = Positions::read(Arc::new(disk.clone())).unwrap();
    Destinations::start(deps, positions, vec![configured]).await.unwrap()
}

fn call(spool: &mut Stepped, kind: &str, id: &str) {
    append(spool, "web", &format!("{{\"type\":\"{kind}\",\"messageId\":\"{id}\"}}"));
}

/// Seed 65: a lane read calls that came while the new configuration was written by the old one, and passed
/// over them.
#[tokio::test(start_paused = true)]
async fn a_call_that_comes_while_the_configuration_changes_goes_where_the_new_one_says() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    let (function, graves) = (Function(None, Arc::default()), Arc::default());
    let running = start((&spool, &disk), (&function, &graves), (u64::MAX, 0), taking(&["track"])).await;
    // Past the first look at what has changed, which takes its time on this disk.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let setting = tokio::spawn({
        let running = running.clone();
        async move { running.set(vec![taking(&["track", "page"])]).await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    call(&mut spool, "page", "during");
    setting.await.unwrap().unwrap();
    call(&mut spool, "page", "after");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(*function.1.lock().unwrap(), ["during", "after"]);
    running.stop(Duration::ZERO).await;
}

/// A dead letter was received on a day that is over, was refused for it, and its call sent again each second.
#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_stored_although_the_clock_was_set_back_by_days() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    let function = Function(Some(Class::BadRequest), Arc::default());
    let not_before = NOON.plus(Duration::from_secs(2 * 86_400));
    let graves = Arc::new(Graves { not_before, ..Graves::default() });
    let running = start((&spool, &disk), (&function, &graves), (u64::MAX, 0), taking(&["track"])).await;
    call(&mut spool, "track", "one");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((function.1.lock().unwrap().len(), *graves.stored.lock().unwrap()), (1, 1));
    running.stop(Duration::ZERO).await;
}

/// Seed 812: a change of the configuration was kept and then said to have failed, because a finished file of a queue
/// could not be removed. Its lanes went on by the old one and passed over calls that are theirs by the new one.
#[tokio::test(start_paused = true)]
async fn a_change_that_is_kept_is_in_force_although_a_finished_queue_cannot_be_removed() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    let (function, graves) = (Function(Some(Class::AccessDenied), Arc::default()), Arc::default());
    let soon_old = |kinds: &[&str]| DestinationSettings {
        max_age: Duration::from_secs(2),
        max_queue: u64::MAX,
        ..taking(kinds)
    };
    let of_queues = hooked_disk(Arc::clone(spool.disk()), |change| match change {
        Change::Remove(name) if name.starts_with("queued/") => Err(io::Error::from_raw_os_error(EIO)),
        _ => Ok(()),
    });
    let on = (&spool, &disk, of_queues);
    let running = start_on(on, (&function, &graves), (0, 100), soon_old(&["track"])).await;
    call(&mut spool, "track", "queued");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(*graves.stored.lock().unwrap(), 1, "it is finished");
    assert_eq!(spool.disk().list("queued").unwrap().len(), 1, "and its file is left");
    running.set(vec![soon_old(&["track", "page"])]).await.unwrap();
    call(&mut spool, "page", "page");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(*graves.stored.lock().unwrap(), 2, "the call of the new configuration");
    running.stop(Duration::ZERO).await;
}

/// Seed 162: a lane that had to give up calls while the spool was full tried it again and again, without a
/// pause.
#[tokio::test(start_paused = true)]
async fn a_dead_letter_for_which_there_is_no_space_is_tried_again_after_a_pause() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    let function = Function(Some(Class::AccessDenied), Arc::default());
    let graves = Arc::new(Graves { refuses: Some(AppendError::Full), ..Graves::default() });
    let running = start((&spool, &disk), (&function, &graves), (0, 100), taking(&["track"])).await;
    for number in 0..10 {
        call(&mut spool, "track", &number.to_string());
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    let appends = *graves.appends.lock().unwrap();
    assert!((10..=200).contains(&appends), "{appends} appends within 20 seconds");
    running.stop(Duration::ZERO).await;
}

/// Seed 892: calls that had become too old were not sent while no dead letter could be stored, so a full
/// spool that was kept by them stayed full.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_too_old_is_sent_if_there_is_no_space_for_its_dead_letter() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    let function = Function(None, Arc::default());
    let graves = Arc::new(Graves { refuses: Some(AppendError::Full), ..Graves::default() });
    let too_old = DestinationSettings { max_age: Duration::ZERO, ..taking(&["track"]) };
    let running = start((&spool, &disk), (&function, &graves), (u64::MAX, 0), too_old).await;
    call(&mut spool, "track", "one");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(*function.1.lock().unwrap(), ["one"]);
    running.stop(Duration::ZERO).await;
}

/// What was finished while the positions were written was not noted by a stop that came meanwhile, and sent
/// again.
#[tokio::test(start_paused = true)]
async fn a_stop_that_comes_while_positions_are_written_notes_what_is_finished() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    let (function, graves) = (Function(None, Arc::default()), Arc::default());
    let running = start((&spool, &disk), (&function, &graves), (u64::MAX, 0), taking(&["track"])).await;
    let began = tokio::time::Instant::now();
    let at = |millis| tokio::time::sleep_until(began + Duration::from_millis(millis));
    at(500).await;
    call(&mut spool, "track", "noted");
    at(850).await;
    call(&mut spool, "track", "finished meanwhile");
    // Positions are written from 1000 on.
    at(1_150).await;
    assert_eq!(function.1.lock().unwrap().len(), 2);
    running.stop(Duration::from_secs(5)).await;
    assert_eq!(Positions::read(Arc::new(disk)).unwrap().lowest(), Some(2));
}

/// Seed 2093: the log said that nothing was durable once all its frames were released, and a destination that
/// was configured then got its first position before those that it had.
#[test]
fn the_last_durable_position_is_known_when_nothing_is_left() {
    let line = "x".repeat(1_000);
    // So many lines fill a segment.
    let (mut spool, _) = open(&SimDisk::default());
    let mut lines = 0;
    while spool.log().usage().segments == 1 {
        append(&mut spool, "web", &line);
        lines += 1;
    }
    lines -= 1;
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    (0..lines).for_each(|_| append(&mut spool, "web", &line));
    let seal = seal_lines(&spool, "web", Range { first: 1, last: lines }, lines, "sha");
    spool.log().commit(&seal, None).unwrap();
    spool.keep().unwrap();
    // The next segment is begun, and nothing is written to it.
    disk.trouble(0, Trouble::Fails(EIO));
    let mut frames = RequestFrames::new(SourceId::new("web").unwrap(), NOON, 0);
    frames.line().extend_from_slice(line.as_bytes());
    frames.call(0);
    assert_eq!(spool.append([frames]).unwrap_err(), AppendError::Unknown);
    drop(spool);
    disk.crash(&mut Dice(1));
    let (mut spool, _) = open(&disk);
    spool.keep().unwrap();
    assert_eq!(spool.follow().durable_through(), lines);
    append(&mut spool, "web", "{}");
    assert_eq!(spool.follow().durable_through(), lines + 1);
}

/// A configuration that could not be noted was refused, but its file had its name already, and was read by
/// the next start.
#[test]
fn positions_that_could_not_be_written_are_not_what_the_next_start_reads() {
    let disk = SimDisk::default();
    let read = || Positions::read(Arc::new(disk.clone())).unwrap();
    let mut positions = read();
    let before = reconfigured(All::new(), &[taking(&["track"])], 1);
    positions.keep(before.clone()).unwrap();
    // The directory is synced after the file was created, written, synced and renamed.
    disk.trouble(4, Trouble::Fails(EIO));
    positions.keep(reconfigured(before.clone(), &[], 2)).unwrap_err();
    positions.keep(before.clone()).unwrap();
    assert_eq!(*read().kept(), before);
}
