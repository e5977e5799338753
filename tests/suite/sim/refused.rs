//! Destinations that refuse one source or all sources for days, while the other sources are served all the
//! time.

use std::collections::BTreeSet;
use std::time::Duration;

use forebay::time::Clock as _;

use super::process::Process;
use super::world::{Violation, World};

/// What the store refuses until the last life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refuses {
    /// One source, in a bucket that accepts others.
    Source,
    /// All sources, in one of two buckets.
    Bucket,
}

/// The bucket that refuses, and the one that accepts.
const BUCKETS: [&str; 2] = ["two", "one"];
/// Requests after which a share must be used up: more than the spool holds.
const REQUESTS_MAX: usize = 300;
/// The maximum wait of a healthy source for a 200, and for its object.
const SERVED_WITHIN: Duration = Duration::from_secs(120);

/// Longer than any put of these worlds takes.
const PUTS_ANSWERED_WITHIN: Duration = Duration::from_secs(4);

impl World {
    /// The refused sources. All others are healthy.
    pub(super) fn refused_sources(&self) -> BTreeSet<usize> {
        match self.plan.refuses {
            None => BTreeSet::new(),
            Some(Refuses::Source) => BTreeSet::from([1]),
            // The first source goes to the other bucket.
            Some(Refuses::Bucket) => (1..self.clients.sources.len()).collect(),
        }
    }

    /// The bucket of a source in a world where some are refused.
    pub(super) fn bucket_beside_refused(refuses: Refuses, source: usize) -> &'static str {
        match refuses {
            Refuses::Source => BUCKETS[1],
            Refuses::Bucket => BUCKETS[usize::from(source == 0)],
        }
    }

    /// Starts or ends the refusals.
    pub(super) fn refuse(&self, refuse: bool) {
        match self.plan.refuses {
            None => {}
            Some(Refuses::Bucket) => self.store.fake.refuse_bucket(BUCKETS[0], refuse),
            Some(Refuses::Source) => {
                let source = &self.clients.sources[1];
                for folder in ["segment-logs", "segment-logs/_rejected"] {
                    self.store.fake.refuse_below(&format!("{folder}/{source}/"), refuse);
                }
            }
        }
    }

    /// After days of refusals, a healthy source must still be served and delivered.
    pub(super) async fn healthy_is_served(&mut self, process: &mut Process) -> Result<(), Violation> {
        if self.plan.refuses.is_none() {
            return Ok(());
        }
        let days = Duration::from_secs(86_400 * self.dice.below(4));
        self.clock.pass(days);
        // Only here do days pass while a put is in flight: it would count as one that never ends.
        tokio::time::sleep(PUTS_ANSWERED_WITHIN).await;
        if self.dice.chance(400) && !self.use_the_share(process).await {
            return Ok(());
        }
        let request = self.clients.make_of(0, 300, false, &mut self.dice);
        let began = self.clock.now();
        while !self.clients.is_answered(request) {
            if self.clock.now().saturating_sub(began) > SERVED_WITHIN {
                return Err(format!(
                    "I9: a healthy source is not served beside a refused one: {:?}, refused {:?}",
                    process.spool.log().usage(),
                    process.spool.log().refused_sources()
                ));
            }
            if self.clients.waits(request) {
                let prints = process.spool.fingerprinter();
                self.clients.send(request, self.clock.wall(), &prints, process.spool.appender());
                tokio::task::yield_now().await;
            }
            self.turn(process).await;
            if !self.goes_on(process) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.trace.count("a healthy source served beside a refused one");
        let (delivery, source) = (process.delivery.clone(), self.clients.sources[0].clone());
        let flush = tokio::spawn(async move { delivery.flush(Some(&source), SERVED_WITHIN).await });
        while !flush.is_finished() {
            if !self.goes_on(process) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let flushed = flush.await.map_err(|error| format!("the flush panicked: {error}"))?;
        // A flush ends if the machine stops.
        if flushed.pending > 0 && self.goes_on(process) {
            return Err(format!("I9: a healthy source is not delivered beside a refused one: {flushed:?}"));
        }
        Ok(())
    }

    /// Sends from a refused source until its share is used up. Returns whether the process still runs.
    async fn use_the_share(&mut self, process: &mut Process) -> bool {
        let most = self.group_max();
        for _ in 0..REQUESTS_MAX {
            if !process.spool.log().refused_sources().is_empty() {
                self.trace.count("a share used");
                break;
            }
            let request = self.clients.make_of(1, most / 2, true, &mut self.dice);
            let prints = process.spool.fingerprinter();
            self.clients.send(request, self.clock.wall(), &prints, process.spool.appender());
            tokio::task::yield_now().await;
            self.turn(process).await;
            if !self.goes_on(process) {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        true
    }

    /// Runs the housekeeper. Returns whether the process still runs.
    fn goes_on(&mut self, process: &mut Process) -> bool {
        self.look();
        process.spool.keep().is_ok() && process.disk.is_alive()
    }
}
