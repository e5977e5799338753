//! The last life, without trouble: everything that clients still wait for is stored, and everything is
//! delivered.

use std::time::Duration;

use forebay::time::Clock as _;

use super::check;
use super::instances::Stage;
use super::process::Process;
use super::world::{Violation, World};

/// Longer than the housekeeper's pause after a segment that could not be made.
const SEGMENT_RETRIED_AFTER: Duration = Duration::from_secs(3);

impl World {
    /// Sends, stores and delivers everything. Returns whether a person has to decide about a seal first.
    pub(super) async fn last_life(&mut self) -> Result<bool, Violation> {
        let disk = self.disk.process().ok_or("a process that has ended holds the lock")?;
        let spool = self.open(&disk)?.ok_or("I6: the spool cannot be opened, and nothing fails")?;
        let mut process = self.start(spool, disk)?.ok_or("the spool has stopped, and nothing fails")?;
        let hang = self.heal_most_functions();
        if !self.start_destinations(&mut process).await? {
            return Err("D2: destinations cannot be started, and nothing fails".to_owned());
        }
        for _ in 0..400 {
            let files = self.import_all(&mut process).await?;
            let imported = self.pass_all(&mut process).await? && files;
            let unanswered = self.clients.unanswered();
            if unanswered.is_empty() && imported {
                break;
            }
            for request in unanswered {
                if process.waiting_bytes + self.clients.bytes(request) > self.group_max() {
                    self.turn(&mut process).await;
                }
                process.waiting_bytes += self.clients.bytes(request);
                let prints = process.spool.fingerprinter();
                self.clients.send(request, self.clock.wall(), &prints, process.spool.appender());
                tokio::task::yield_now().await;
            }
            self.turn(&mut process).await;
            self.keep(&mut process)?;
            self.check_destinations(&process);
            let log = process.spool.log();
            if log.usage().is_full && process.spool.follow().held_bytes() > 0 {
                self.trace.count("a spool full of what destinations keep");
            }
            if in_conflict(&process) {
                // Frames waiting after the conflict may fill the spool.
                self.end_in_order(process).await;
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        if !self.clients.unanswered().is_empty() {
            let usage = process.spool.log().usage();
            return Err(format!("I8: calls are refused although the store accepts everything: {usage:?}"));
        }
        if let Some(bucket) = self.bucket.as_ref().filter(|bucket| !bucket.objects.are_retried()) {
            return Err(format!(
                "I8: a bucket is not imported although the store accepts everything: {bucket:?}"
            ));
        }
        if !self.imports.are_done() {
            return Err(format!(
                "I8: files are not imported although the store accepts everything: {:?}",
                self.imports
            ));
        }
        if let Some(turn) = &self.turn {
            turn.reach(Stage::Imported);
        }
        let mut conflict = self.drain(&mut process).await?;
        if !conflict {
            self.after_all(&mut process)?;
        }
        if hang && !conflict {
            self.check_share(&mut process).await?;
        }
        if !conflict && process.destinations.is_some() {
            self.heal_functions();
            self.drain_destinations(&mut process).await?;
            // Dead letters have come.
            conflict = self.drain(&mut process).await?;
        }
        if !conflict {
            // A segment that could not be made a moment ago is tried again after a pause.
            tokio::time::sleep(SEGMENT_RETRIED_AFTER).await;
            check::at_rest(self, &mut process)?;
            check::days_close(self, &mut process).await?;
        }
        self.end_in_order(process).await;
        Ok(conflict)
    }

    /// A life without space except for what deliveries free. Everything that was stored must still be
    /// delivered.
    pub(super) async fn life_on_a_full_disk(&mut self) -> Result<(), Violation> {
        let disk = self.disk.process().ok_or("a process that has ended holds the lock")?;
        let spool = self.open(&disk)?.ok_or("I6: the spool cannot be opened, and only space is missing")?;
        let started = self.start(spool, disk)?;
        let mut process = started.ok_or("the spool has stopped, and only space is missing")?;
        self.heal_functions();
        self.start_destinations(&mut process).await?;
        let conflict = self.drain(&mut process).await?;
        self.trace.count(if conflict { "a full disk, and a conflict" } else { "a full disk emptied" });
        process.disk.kill();
        Ok(())
    }

    /// Runs the housekeeper, which must not fail.
    pub(super) fn keep(&mut self, process: &mut Process) -> Result<(), Violation> {
        self.look();
        let kept = process.spool.keep();
        let why = process.spool.log().stopped().borrow().clone();
        kept.map_err(|_| format!("the spool has stopped: {why:?}"))
    }

    /// Delivers everything. Returns whether a conflict prevents it.
    async fn drain(&mut self, process: &mut Process) -> Result<bool, Violation> {
        let flushing = process.delivery.clone();
        let flush = tokio::spawn(async move { flushing.flush(None, Duration::from_secs(600)).await });
        for _ in 0..4_000 {
            if process.destinations.is_some() {
                self.turn(process).await;
            }
            self.keep(process)?;
            if in_conflict(process) {
                return Ok(true);
            }
            if flush.is_finished() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        let flushed = flush.await.map_err(|error| format!("the flush panicked: {error}"))?;
        if flushed.pending > 0 {
            let waiting = process.delivery.progress();
            return Err(format!(
                "I8: not delivered although the store accepts everything: {flushed:?} {waiting:?}"
            ));
        }
        Ok(false)
    }
}

/// Whether a person must decide about a seal. All later frames of its source wait for that.
fn in_conflict(process: &Process) -> bool {
    process.spool.log().pending_seals().iter().any(|pending| pending.conflict)
}
