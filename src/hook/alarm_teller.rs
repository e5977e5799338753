//! Tells a web address of alarms: each when it is raised and when it is cleared. It never holds up what raises
//! them: it looks at those that stand, and what it could not tell yet it tells later.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::alarm_notice::{Notice, NoticeForm};
use super::told_alarms::{FILE_BYTES_MAX, OWN_SUBJECT, ToldAlarms};
use super::webhook::Webhook;
use super::within;
use crate::alarms::{AlarmKind, Alarms};
use crate::disk::{Disk, if_there, read_all, write_durably};
use crate::metrics::{KindLabel, Metrics};
use crate::random::Random;
use crate::retry::Backoff;
use crate::tasks::joined;
use crate::time::Clock;

/// The file that keeps what was told, in the directory of the spool.
const FILE: &str = "told-alarms";
/// How long one post may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause between two notices: Slack takes one a second.
const PACE: Duration = Duration::from_secs(1);
/// Alarms of an earlier process that still stand have been raised again by then.
const KNOWN_AFTER: Duration = Duration::from_secs(60);
/// The waits after a failed post.
const WAITS: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(60) };
/// How long posts fail before this is an alarm itself.
const ALARM_AFTER: Duration = Duration::from_secs(60);

/// A web address that is told of alarms.
#[derive(Debug)]
pub struct AlarmWebhook {
    /// Where to.
    pub webhook: Webhook,
    /// In which form.
    pub form: NoticeForm,
}

impl AlarmWebhook {
    /// Posts a notice. Errors: why it did not arrive.
    pub async fn post(&self, notice: &Notice) -> Result<(), String> {
        for body in notice.bodies(&self.form) {
            within(PATIENCE, self.webhook.call(body)).await?;
        }
        Ok(())
    }
}

/// What the teller needs.
#[derive(Clone, Debug)]
pub struct AlarmTellerDeps {
    /// The alarms.
    pub alarms: Arc<Alarms>,
    /// The disk of the spool. Without one, what was told is forgotten at a restart, and told once more.
    pub disk: Option<Arc<dyn Disk>>,
    /// Monotonic and wall time.
    pub clock: Arc<dyn Clock>,
    /// Draws waits.
    pub random: Arc<dyn Random>,
    /// Counts notices.
    pub metrics: Metrics,
    /// The node's id.
    pub node: String,
}

/// Tells of alarms until it is dropped.
pub async fn tell_alarms(to: Arc<AlarmWebhook>, deps: AlarmTellerDeps) {
    let AlarmTellerDeps { alarms, disk, clock, random, metrics, node } = deps;
    let count = |kind| metrics.alarm_notices.get_or_create(&KindLabel { kind }).inc();
    let mut changed = alarms.changes();
    let began = clock.monotonic();
    let mut told = match &disk {
        Some(disk) => read(disk).await,
        None => ToldAlarms::default(),
    };
    let (mut tries, mut failing_since) = (0_u32, None);
    loop {
        changed.mark_unchanged();
        let since_start = clock.monotonic().saturating_sub(began);
        let next = told.next(&alarms.standing(), since_start >= KNOWN_AFTER, &node, clock.wall());
        let Some(notice) = next else {
            // Both senders live as long as the alarms, which this task holds.
            tokio::select! {
                _ = changed.changed() => {}
                () = sleep(KNOWN_AFTER.saturating_sub(since_start)), if since_start < KNOWN_AFTER => {}
            }
            continue;
        };
        match to.post(&notice).await {
            Ok(()) => {
                count("sent");
                told.note(&notice);
                if let Some(disk) = &disk {
                    write(disk, &told).await;
                }
                alarms.clear(AlarmKind::Hook, OWN_SUBJECT);
                (tries, failing_since) = (0, None);
                sleep(PACE).await;
            }
            Err(why) => {
                count("failed");
                tries = tries.saturating_add(1);
                let since = *failing_since.get_or_insert_with(|| clock.monotonic());
                if clock.monotonic().saturating_sub(since) >= ALARM_AFTER {
                    let what = format!(
                        "alarms do not reach {}: {why}; it is tried again; check [alarm] with `forebay check --alarm-test`",
                        to.webhook
                    );
                    alarms.raise_of(AlarmKind::Hook, OWN_SUBJECT, what, since);
                }
                sleep(WAITS.wait(tries, &*random)).await;
            }
        }
    }
}

/// What an earlier process told. Without it alarms that stand are told once more.
async fn read(disk: &Arc<dyn Disk>) -> ToldAlarms {
    let disk = Arc::clone(disk);
    let read = move || -> io::Result<Option<Vec<u8>>> {
        let Some(file) = if_there(disk.open(FILE))? else { return Ok(None) };
        if file.len()? > FILE_BYTES_MAX as u64 {
            return Err(io::Error::other("it is too long"));
        }
        read_all(&*file).map(Some)
    };
    let told = match joined(tokio::task::spawn_blocking(read).await) {
        Some(Ok(Some(bytes))) => ToldAlarms::read(&bytes).map_err(ToOwned::to_owned),
        Some(Ok(None)) | None => Ok(ToldAlarms::default()),
        Some(Err(error)) => Err(error.to_string()),
    };
    told.unwrap_or_else(|why| {
        tracing::warn!(
            file = FILE,
            "what was told of alarms cannot be read, so alarms that still stand are told once more, and those that have \
             ended since are not told to have ended: {why}"
        );
        ToldAlarms::default()
    })
}

/// Keeps what was told. If that fails, it is told again after a restart.
async fn write(disk: &Arc<dyn Disk>, told: &ToldAlarms) {
    let (disk, bytes) = (Arc::clone(disk), told.written());
    let written = tokio::task::spawn_blocking(move || write_durably(&*disk, FILE, &bytes)).await;
    if let Some(Err(error)) = joined(written) {
        tracing::warn!(%error, file = FILE, "it cannot be kept what was told of alarms: a restart tells it again");
    }
}
