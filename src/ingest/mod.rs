//! Intake: turns the body of a request into lines, makes them durable, and returns a receipt to the caller.
//!
//! This room knows no HTTP. The collector calls it for each request, in three steps, because a request's
//! source may be known only after its body was parsed:
//!
//! 1. [`Ingest::parse`]: bytes to calls.
//! 2. [`Ingest::lines`]: calls to [`Lines`], with the fields that the [`Arrival`] adds to each.
//! 3. [`Ingest::append`]: lines to an [`Ack`], once they are on stable storage.

mod ack;
mod arrival;
mod counters;
mod finish_anyway;
mod rate_limit;
mod received_clock;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

pub use ack::{Ack, Receipts};
pub use arrival::{Arrival, Content, Lines};

use crate::call::object_sets::OBJECTS_MAX;
use crate::call::{
    BodyError, CallKind, ClientLibraries, Fingerprinter, Limits, ObjectSets, Request, Shape, Stamp, Tally,
    write_rejected_pixel,
};
use crate::live::{LiveView, RefusedRequest, Sample, Turn};
use crate::log::frame::FRAME_HEADER;
use crate::log::{Append, AppendError, Appended, REQUEST_BYTES_MAX, RequestFrames};
use crate::metrics::Metrics;
use crate::object::Stream;
use crate::random::Random;
use crate::receipt;
use crate::sources::{SOURCE_ID_MAX, SourceId};
use crate::time::{Clock, UnixMillis};
use crate::words::about_duration;
use counters::{Counters, RequestCount, SourceCounters};
use finish_anyway::FinishAnyway;
use rate_limit::RateLimit;
use received_clock::ReceivedClock;

/// Bytes of lines above which a request is refused before its lines are written. It is compared with an upper
/// estimate, so it is larger than what the log accepts.
const LINES_LEN_MAX: usize = 2 * REQUEST_BYTES_MAX;

/// The rooms and external resources that intake uses.
#[derive(Clone, Debug)]
pub struct IngestDeps {
    /// Wall and monotonic time.
    pub clock: Arc<dyn Clock>,
    /// Makes message ids for calls that have none.
    pub random: Arc<dyn Random>,
    /// The metrics to count into.
    pub metrics: Metrics,
    /// Appends to the log.
    pub appender: Arc<dyn Append>,
    /// Makes the fingerprints that identify repeats, with the log's key.
    pub fingerprinter: Fingerprinter,
    /// Gets samples of what is stored.
    pub live: Arc<LiveView>,
}

/// The configuration of intake.
#[derive(Clone, Debug, Default)]
pub struct IngestSettings {
    /// Limits on the contents of a request.
    pub limits: Limits,
    /// Libraries whose calls come from clients.
    pub client_libraries: ClientLibraries,
    /// Calls per second that one source may send. `None`: no limit.
    pub calls_per_second: Option<u32>,
    /// Whether lines and acknowledgements contain the positions of calls.
    pub receipts: bool,
}

/// Why none of the lines is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// The source exceeds its rate; it may send again after this time.
    #[error("the source exceeds its limit of calls per second; wait {}", about_duration(*.0))]
    TooFast(Duration),
    /// The log refused them.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Takes requests from any sender. There is one per log, because it counts and keeps the last `receivedAt`.
#[derive(Debug)]
pub struct Ingest {
    deps: IngestDeps,
    settings: IngestSettings,
    counters: Arc<Counters>,
    received: ReceivedClock,
    rate_limit: Option<RateLimit>,
    /// Appends whose callers are gone.
    orphans: TaskTracker,
}

impl Ingest {
    /// For the log behind `deps.appender`.
    pub fn new(deps: IngestDeps, settings: IngestSettings) -> Self {
        Self {
            counters: Arc::new(Counters::new(deps.metrics.clone(), Arc::clone(&deps.live))),
            received: ReceivedClock::default(),
            rate_limit: settings.calls_per_second.map(RateLimit::new),
            deps,
            settings,
            orphans: TaskTracker::new(),
        }
    }

    /// The `receivedAt` of a request that is complete now. It is the wall clock, but small steps back are
    /// smoothed out, and it is never on a day that has ended.
    pub fn received_now(&self) -> UnixMillis {
        let reading = self.received.read(self.deps.clock.wall());
        if let Some(back) = reading.stepped_back {
            self.deps.metrics.clock_steps.inc();
            tracing::warn!(
                seconds = back.as_secs(),
                "the wall clock stepped back and receivedAt follows it; check this machine's time service"
            );
        }
        let not_before = self.deps.appender.not_before();
        if reading.received_at < not_before {
            self.deps.metrics.received_after_day.inc();
        }
        reading.received_at.max(not_before)
    }

    /// Parses a request's body.
    pub fn parse<'b>(&self, body: &'b [u8], shape: Shape) -> Result<Content<'b>, BodyError> {
        self.parse_up_to(OBJECTS_MAX, body, shape)
    }

    /// Parses rows of a file, which may be more objects than a request may set.
    pub fn parse_rows<'b>(&self, body: &'b [u8], shape: Shape) -> Result<Content<'b>, BodyError> {
        self.parse_up_to(usize::MAX, body, shape)
    }

    fn parse_up_to<'b>(
        &self,
        objects_max: usize,
        body: &'b [u8],
        shape: Shape,
    ) -> Result<Content<'b>, BodyError> {
        let limits = &self.settings.limits;
        match shape {
            Shape::ObjectSets => ObjectSets::parse(body, objects_max, limits).map(Content::ObjectSets),
            Shape::Envelope | Shape::Single(_) => Request::parse(body, shape, limits).map(Content::Calls),
        }
    }

    /// The lines of a request's items.
    /// Errors: [`AppendError::TooLarge`]: each call of an envelope repeats the envelope's context, so a small
    /// body could become gigabytes of lines. So could flattened properties of objects.
    pub fn lines(&self, request: &Content<'_>, arrival: &Arrival<'_>) -> Result<Lines, AppendError> {
        let len = request.lines_len();
        if len > LINES_LEN_MAX {
            return Err(AppendError::TooLarge);
        }
        let names = SOURCE_ID_MAX + request.stream().name().len();
        let headers = request.lines() * (FRAME_HEADER + names + receipt::MEMBER_BYTES);
        let mut frames = self.no_frames(arrival, len + headers, request.lines());
        let stamp = self.stamp(arrival);
        frames.set_stream(request.stream());
        let tally = match request {
            Content::Calls(request) => request.write_lines(&stamp, &*self.deps.random, &mut frames),
            Content::ObjectSets(request) => request
                .write_lines(&stamp, &*self.deps.random, REQUEST_BYTES_MAX, &mut frames)
                .ok_or(AppendError::TooLarge)?,
        };
        let counters = self.counters.of_source(arrival.source);
        let sample = self.sample(&counters, &frames, |index| request.item(index));
        frames.end_import_step();
        Ok(Lines { frames, tally, counters, sample })
    }

    /// Counts a request that was refused as a whole.
    pub fn refused(&self, request: RefusedRequest<'_>) {
        self.deps.live.refused(request, self.deps.clock.wall());
    }

    /// Copies a few of the lines, if it is time to.
    fn sample<'b>(
        &self,
        counters: &SourceCounters,
        frames: &RequestFrames,
        item: impl Fn(usize) -> Option<&'b [u8]>,
    ) -> Option<Sample> {
        let seen = counters.seen.as_ref()?;
        let counts = (frames.calls(), frames.rejected_items());
        let Turn { mut calls, mut rejected } =
            self.deps.live.turn(seen, counts, self.deps.clock.monotonic())?;
        let mut sample = Sample::new(frames.source().clone(), frames.received_at());
        for (index, (stream, line)) in frames.lines().enumerate() {
            if calls == 0 && rejected == 0 {
                break;
            }
            let left = if stream == Stream::Rejected { &mut rejected } else { &mut calls };
            if let Some(fewer) = left.checked_sub(1) {
                *left = fewer;
                sample.push(stream, &line, item(index));
            }
        }
        Some(sample)
    }

    /// The line of a pixel's call. It is made from `body`, which the pixel's query was converted to. If that
    /// is not a call, the query itself becomes a line of the rejected stream. Errors: as [`Ingest::lines`].
    pub fn pixel_lines(
        &self,
        kind: CallKind,
        body: &[u8],
        query: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Lines, AppendError> {
        if let Ok(request) = self.parse(body, Shape::Single(kind)) {
            return self.lines(&request, arrival);
        }
        let mut frames = self.no_frames(arrival, query.len() + 512, 1);
        let stamp = self.stamp(arrival);
        write_rejected_pixel(query, &stamp, &mut frames);
        let counters = self.counters.of_source(arrival.source);
        let sample = self.sample(&counters, &frames, |_| None);
        Ok(Lines { frames, tally: Tally::default(), counters, sample })
    }

    /// Stores lines, and counts them once they are on stable storage. If the future is dropped, the append
    /// continues in its own task and is still counted. After [`AppendError::Unknown`] nothing is counted
    /// here: if the lines are stored, they are repeats when they come again.
    pub async fn append(&self, lines: Lines) -> Result<Ack, IngestError> {
        let Lines { frames, tally, counters: of_source, sample } = lines;
        if frames.is_empty() {
            return Ok(Ack::default());
        }
        let count = RequestCount::of(&frames, tally);
        let (calls, rejected) = (count.calls, count.rejected());
        if let Some(limit) = &self.rate_limit {
            limit
                .take(frames.source(), calls.saturating_add(rejected), self.deps.clock.monotonic())
                .map_err(IngestError::TooFast)?;
        }
        let about = self.settings.receipts.then(|| (frames.source().clone(), frames.received_at().day()));
        let (appender, counters) = (Arc::clone(&self.deps.appender), Arc::clone(&self.counters));
        let appended = FinishAnyway::new(&self.orphans, async move {
            let appended = appender.append(frames).await?;
            counters.stored(&count, &of_source, appended.repeats, sample);
            Ok::<_, AppendError>(appended)
        });
        let Appended { stored_in, repeats, import, .. } = appended.await?;
        let receipts = about.and_then(|about| Receipts::new(about, stored_in));
        Ok(Ack { calls, rejected, repeats, receipts, import: import.map(|progress| *progress) })
    }

    /// Forgets a source that is no longer configured and has no request under way.
    pub fn forget(&self, source: &SourceId) {
        self.counters.forget(source);
        if let Some(limit) = &self.rate_limit {
            limit.forget(source);
        }
    }

    /// Whether acknowledgements contain receipts.
    pub fn gives_receipts(&self) -> bool {
        self.settings.receipts
    }

    /// Waits for the appends whose callers are gone. Call it before closing the log.
    pub async fn finish(&self) {
        self.orphans.close();
        self.orphans.wait().await;
    }

    fn stamp<'a>(&'a self, arrival: &Arrival<'a>) -> Stamp<'a> {
        Stamp {
            received_at: arrival.received_at,
            source: arrival.source,
            ip: arrival.ip,
            client_side: arrival.client_side,
            client_libraries: &self.settings.client_libraries,
            user_agent: arrival.user_agent,
            fingerprinter: &self.deps.fingerprinter,
        }
    }

    /// An empty set of frames for a request with `items` items, whose lines will take about `len` bytes.
    fn no_frames(&self, arrival: &Arrival<'_>, len: usize, items: usize) -> RequestFrames {
        let mut frames = RequestFrames::new(arrival.source.clone(), arrival.received_at, len);
        frames.came(items);
        if let Some(step) = arrival.import {
            frames.set_import(step);
        }
        frames.say_positions(self.settings.receipts);
        frames
    }
}
