//! Opens and recovers a spool, before delivery starts.

use std::sync::Arc;
use std::time::Duration;

use super::error::NodeError;
use super::outside::Outside;
use crate::alarms::{AlarmKind, Alarms};
use crate::delivery::failures::damage::raise_lost;
use crate::destinations::positions::Positions;
use crate::disk::real_disk::RealDisk;
use crate::disk::{Disk, is_no_handle};
use crate::spool::{Recovered, Spool, SpoolOptions};
use crate::words::causes::io_causes;

/// The time that a start waits for a free file handle.
const HANDLES_WAIT: Duration = Duration::from_secs(30);
/// The pause before opening the spool is retried.
const HANDLES_PAUSE: Duration = Duration::from_millis(500);

/// A recovered spool, before delivery starts.
#[derive(Debug)]
pub struct Recovery {
    pub(super) outside: Outside,
    pub(super) spool: Spool,
    pub(super) recovered: Recovered,
    pub(super) positions: Positions,
}

/// The positions of destinations in a spool's directory. Errors: [`NodeError`]: the positions cannot be read.
pub async fn read_positions(disk: Arc<dyn Disk>) -> Result<Positions, NodeError> {
    let read = tokio::task::spawn_blocking(move || Positions::read(disk)).await?;
    read.map_err(|error| {
        NodeError::Other(format!(
            "what is kept of destinations cannot be read: {error}; start the release that wrote it, or make the disk readable"
        ))
    })
}

impl Recovery {
    /// Recovers the spool, with everything that destinations have not finished. If no file handle is free,
    /// waits for one for at most 30 s. Errors: [`NodeError`]: the spool cannot be opened.
    pub async fn run(outside: Outside, disk: RealDisk, options: SpoolOptions) -> Result<Self, NodeError> {
        let disk = Arc::new(disk);
        let positions = read_positions(Arc::clone(&disk) as _).await?;
        Self::with(outside, disk, positions, options).await
    }

    /// Recovers the spool, with these positions of destinations.
    /// Errors: [`NodeError`]: the spool cannot be opened.
    pub(super) async fn with(
        outside: Outside,
        disk: Arc<RealDisk>,
        positions: Positions,
        options: SpoolOptions,
    ) -> Result<Self, NodeError> {
        let options = SpoolOptions { hold_after: positions.lowest(), ..options };
        let until = outside.clock.monotonic().saturating_add(HANDLES_WAIT);
        loop {
            let opened = {
                let (disk, options, outside) = (Arc::clone(&disk), options.clone(), outside.clone());
                let metrics = Arc::new(outside.metrics.clone());
                tokio::task::spawn_blocking(move || {
                    Spool::open(disk, options, outside.clock, &*outside.random, metrics)
                })
                .await?
            };
            match opened {
                Ok((spool, recovered)) => return Ok(Self { outside, spool, recovered, positions }),
                Err(error) if lacks_handle(&error) && outside.clock.monotonic() < until => {
                    tracing::warn!(%error, "no file handle is left to open the spool; retrying");
                    tokio::time::sleep(HANDLES_PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Whether the cause of an error is a lack of file handles. The whole machine then has none left, because
/// this process has opened nothing else yet.
fn lacks_handle(error: &(dyn std::error::Error + 'static)) -> bool {
    io_causes(error).any(is_no_handle)
}

/// Logs what a start found, and raises its alarms.
pub(super) fn report(recovered: &Recovered, alarms: &Alarms) {
    if recovered.frames > 0 || recovered.seals > 0 {
        tracing::info!(
            calls = recovered.frames,
            sealed_objects = recovered.seals,
            segments = recovered.segments,
            "the spool has undelivered calls of an earlier run; they are delivered now"
        );
    }
    if recovered.torn_bytes > 0 {
        tracing::info!(
            bytes = recovered.torn_bytes,
            "an incomplete last write was removed; its calls were never acknowledged"
        );
    }
    raise_lost(alarms, &recovered.lost);
    if let Some(segment) = recovered.unreadable {
        let what = format!(
            "the last segment of the spool, {segment}, cannot be read to its end: any calls after the last readable position \
             are lost; the segment is kept in quarantine"
        );
        alarms.raise(AlarmKind::Damage, &format!("segment {segment}"), what);
    }
    if recovered.manifest_damaged {
        let what = "some notes of the spool's manifest cannot be read: Forebay repeats what they recorded, so a call may be \
                    delivered twice, or an object may be held back by a conflict; `forebay spool verify SPOOL` says more, with \
                    Forebay stopped"
            .to_owned();
        alarms.raise(AlarmKind::Damage, "manifest", what);
    }
    if recovered.clock_behind {
        let what =
            "the wall clock is more than a day behind the newest call in the spool; set the clock".to_owned();
        alarms.raise(AlarmKind::Clock, "wall clock", what);
    }
}
