//! Builds left objects from the log: a thread for each term, one pass at a time for the process.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

use super::asks::{Ask, Asks};
use super::beat::Beat;
use super::kept::{Kept, KeptFile, KeptWriter};
use super::known::Shared;
use super::records::{Fetched, NotRead, Records};
use super::settings::{Sees, Settings};
use crate::log::Seal;
use crate::object::gzip::GzipLines;
use crate::partition::gone::is_gone;
use crate::partition::left::{Built, GATHERED_OBJECT_BYTES, Pass};
use crate::partition::reader::{Reader, Took};
use crate::partition::state::State;

/// How often the builder looks whether there is anything to build.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the log's start is compared with what is left.
const START_EVERY: Duration = Duration::from_secs(10);
/// How long a pass waits for a record before it looks whether it may go on.
const WAIT: Duration = Duration::from_millis(500);
/// How long a pass waits for a record before another partition has its turn.
const GIVES_UP_AFTER: Duration = Duration::from_secs(30);
/// Compression level of an object whose seal does not say it.
const LEVEL: u32 = 6;

/// What builds left objects of a term.
#[derive(Debug)]
pub(super) struct Rebuild {
    pub(super) settings: Settings,
    pub(super) shared: Arc<Shared>,
    pub(super) kept: Arc<Kept>,
    pub(super) asks: Asks,
    /// Locked by whoever makes a pass: its memory is bounded for the process.
    pub(super) passes: Arc<Mutex<()>>,
    /// Lives while this thread is between two calls of the library.
    pub(super) beat: Arc<Beat>,
}

/// An object of which some lines are read.
enum Making {
    /// Its lines, each with its `\n`.
    Gathered(Vec<u8>),
    /// A large one has an encoder.
    Encoder(Box<GzipLines<KeptWriter>>),
    /// It found no space.
    Failed(io::Error),
}

impl Rebuild {
    /// Builds until `goes_on` says no.
    pub(super) fn run(&self, goes_on: &dyn Fn() -> bool) {
        self.turns(&|| {
            self.beat.lives(self.shared.clock.monotonic());
            goes_on()
        });
        self.beat.rests();
    }

    fn turns(&self, goes_on: &dyn Fn() -> bool) {
        let (mut log, mut start_at) = (None, Duration::ZERO);
        while goes_on() {
            self.kept.wait(LOOK_EVERY);
            if !goes_on() {
                return;
            }
            match self.look(&mut log, &mut start_at, goes_on) {
                // Others look once a second, and have their turn now.
                Ok(true) => self.pause(goes_on),
                Ok(false) => {}
                Err(NotBuilt { why, numbers }) => {
                    tracing::debug!(why, "left objects cannot be built at present");
                    log = None;
                    let now = self.shared.clock.monotonic();
                    numbers.into_iter().for_each(|number| self.kept.rests(number, now));
                }
            }
        }
    }

    /// Waits for as long as it takes until all others have looked.
    fn pause(&self, goes_on: &dyn Fn() -> bool) {
        let now = || self.shared.clock.monotonic();
        let until = now().saturating_add(LOOK_EVERY);
        while goes_on() && now() < until {
            self.kept.wait(until.saturating_sub(now()));
        }
    }

    /// Builds what one pass can. Returns whether there was a pass.
    fn look(
        &self,
        log: &mut Option<Records>,
        start_at: &mut Duration,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<bool, NotBuilt> {
        let now = self.shared.clock.monotonic();
        let looks_at_start = now >= *start_at;
        self.kept.let_go(now);
        let partition = {
            let known = self.shared.read();
            if known.state.left.is_empty() || !looks_at_start && self.plan(&known.state, 0).is_none() {
                return Ok(false);
            }
            known.state.identity.partition
        };
        let log = match log {
            Some(log) => log,
            None => {
                let new = Records::new(&self.settings, &self.settings.topic, partition, Sees::All);
                log.insert(new.map_err(|error| NotBuilt::new(&error))?)
            }
        };
        // Before the turn is taken: a partition without a leader would keep it from others for as long as this waits.
        let (start, _) = log.bounds().map_err(|error| NotBuilt::new(&error))?;
        self.kept.log_begins_at(start);
        if looks_at_start {
            *start_at = now.saturating_add(START_EVERY);
            self.asks.tell(Ask::BeginsAt(start, self.kept.numbers()));
        }
        // Not waited for: a term that ends must not wait for the pass of another one.
        let _only_pass = match self.passes.try_lock() {
            Ok(only_pass) => only_pass,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(false),
        };
        let (mut pass, state) = {
            let known = self.shared.read();
            let Some(pass) = self.plan(&known.state, start) else { return Ok(false) };
            // What is noted meanwhile concerns none of these objects.
            (pass, known.state.clone())
        };
        let done = self.pass(&mut pass, &state, log, start, goes_on);
        log.rests();
        let rest = || pass.seals().map(|seal| seal.number).collect();
        done.map(|()| true).map_err(|why| NotBuilt { why, numbers: rest() })
    }

    /// What to build of a log that begins at `start`: what is gone, its owner names as lost.
    fn plan(&self, state: &State, start: u64) -> Option<Pass> {
        let now = self.shared.clock.monotonic();
        self.kept.wish(now, |wish| {
            Pass::plan(state, |pending| !is_gone(&pending.seal, start) && wish.wants(pending))
        })
    }

    fn pass(
        &self,
        pass: &mut Pass,
        state: &State,
        log: &mut Records,
        start: u64,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<(), String> {
        let not_read = |error: NotRead| error.to_string();
        let client = log.client();
        let mut reader = Reader::of_left(state, pass.from.max(start));
        log.go_to(Some(reader.next())).map_err(not_read)?;
        let mut making: BTreeMap<u64, Making> = BTreeMap::new();
        let mut came = self.shared.clock.monotonic();
        loop {
            for Built { seal, is_sealed } in pass.ended(reader.next()) {
                let made = making.remove(&seal.number);
                self.end(&seal, made, is_sealed);
            }
            if pass.is_over() || !goes_on() {
                return Ok(());
            }
            let fetched = log.fetch(&client, WAIT).map_err(not_read)?;
            let now = self.shared.clock.monotonic();
            match fetched {
                Fetched::Record { offset, value, .. } => match reader.takes(offset, &value, state) {
                    Took::Block { frames, .. } => pass.takes(&frames, &mut |seal, frame| {
                        self.add(making.entry(seal.number), seal, &frame.line());
                    }),
                    Took::Copy(_) | Took::Nothing => {}
                    // The owner's own reading names it, or stops for it.
                    Took::Unreadable(_) | Took::Newer(_) | Took::Cut => {
                        return Err(format!("record {offset} cannot be read"));
                    }
                },
                Fetched::Nothing | Fetched::End if now.saturating_sub(came) < GIVES_UP_AFTER => continue,
                // Other partitions wait for this pass.
                Fetched::Nothing | Fetched::End => {
                    return Err(format!("no record came for {} s", GIVES_UP_AFTER.as_secs()));
                }
                Fetched::OutOfRange => return Err("the log begins later now".to_owned()),
            }
            came = now;
        }
    }

    fn add(&self, making: Entry<'_, u64, Making>, seal: &Seal, line: &[u8]) {
        let making = making.or_insert_with(|| match seal.bytes < GATHERED_OBJECT_BYTES {
            true => Making::Gathered(Vec::new()),
            false => match self.encoder(seal) {
                Ok(encoder) => Making::Encoder(Box::new(encoder)),
                Err(error) => Making::Failed(error),
            },
        });
        let added = match making {
            Making::Gathered(lines) => {
                lines.extend_from_slice(line);
                lines.push(b'\n');
                Ok(())
            }
            Making::Encoder(gzip) => gzip.push(line).map(drop),
            Making::Failed(_) => Ok(()),
        };
        if let Err(error) = added {
            *making = Making::Failed(error);
        }
    }

    fn encoder(&self, seal: &Seal) -> io::Result<GzipLines<KeptWriter>> {
        let level = seal.encoder.rsplit('/').next().and_then(|level| level.parse().ok());
        Ok(GzipLines::new(self.kept.begin()?, level.unwrap_or(LEVEL), u64::MAX))
    }

    fn end(&self, seal: &Seal, made: Option<Making>, is_sealed: bool) {
        let now = self.shared.clock.monotonic();
        if !is_sealed {
            tracing::error!(
                seal = seal.number,
                key = %seal.object_key,
                "an object was built from the log with other lines than were sealed: it is not put; report this"
            );
            return self.kept.differs(seal.number, now);
        }
        match self.file(seal, made) {
            Ok(file) => self.kept.insert(seal, file, now),
            Err(error) => {
                tracing::warn!(
                    %error,
                    seal = seal.number,
                    key = %seal.object_key,
                    "an object that its bucket refused could not be built again for now; if it finds no space, raise \
                     kafka.cache_bytes"
                );
                self.kept.rests(seal.number, now);
            }
        }
    }

    fn file(&self, seal: &Seal, made: Option<Making>) -> io::Result<KeptFile> {
        let gzip = match made {
            Some(Making::Encoder(gzip)) => *gzip,
            Some(Making::Failed(error)) => return Err(error),
            Some(Making::Gathered(lines)) => {
                let mut gzip = self.encoder(seal)?;
                let lines = lines.strip_suffix(b"\n").unwrap_or(&lines);
                lines.split(|byte| *byte == b'\n').try_for_each(|line| gzip.push(line).map(drop))?;
                gzip
            }
            None => self.encoder(seal)?,
        };
        Ok(gzip.finish()?.out.finish())
    }
}

/// Why nothing was built, and what is not tried again at once.
struct NotBuilt {
    why: String,
    numbers: Vec<u64>,
}

impl NotBuilt {
    fn new(error: &dyn std::error::Error) -> Self {
        Self { why: error.to_string(), numbers: Vec::new() }
    }
}
