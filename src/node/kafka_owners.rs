//! What the owners of partitions that are not here say, in words of a status.

use crate::admin::PinStatus;
use crate::admin::kafka_status::ElsewhereStatus;
use crate::partition::group::{OwnerSays, Owners};

/// The partitions of a log of so many that are not here, and when their owners were heard. Nothing until they were.
pub(super) fn elsewhere(
    partitions: u32,
    owners: Option<Owners>,
    is_here: impl Fn(u32) -> bool,
) -> (Vec<ElsewhereStatus>, Option<i64>) {
    let Some(mut owners) = owners else { return (Vec::new(), None) };
    let others = (0..partitions).filter(|partition| !is_here(*partition));
    let told = others.map(|partition| told(partition, owners.of.remove(&partition))).collect();
    (told, Some(owners.heard_at.0))
}

fn told(partition: u32, owner: Option<OwnerSays>) -> ElsewhereStatus {
    let status = ElsewhereStatus { partition, ..ElsewhereStatus::default() };
    let Some(OwnerSays { host, at, lag_seconds, left_seconds, pin, needed_from: _ }) = owner else {
        return status;
    };
    ElsewhereStatus {
        owner: Some(host),
        told_ms: Some(at.0),
        lag_seconds,
        time_left_seconds: left_seconds,
        pinned_by: pin.map(|(source, since)| PinStatus { source, since_ms: since.0, ..PinStatus::default() }),
        ..status
    }
}
