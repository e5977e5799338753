//! What the owners of partitions that are not here say, in words of a status.

use std::collections::BTreeMap;

use crate::admin::PinStatus;
use crate::admin::kafka_status::ElsewhereStatus;
use crate::partition::group::OwnerSays;

/// The partitions of a log of so many that are not here, as their owners told the group.
pub(super) fn elsewhere(
    partitions: u32,
    mut owners: BTreeMap<u32, Option<OwnerSays>>,
    is_here: impl Fn(u32) -> bool,
) -> Vec<ElsewhereStatus> {
    let others = (0..partitions).filter(|partition| !is_here(*partition));
    others.map(|partition| told(partition, owners.remove(&partition).flatten())).collect()
}

fn told(partition: u32, owner: Option<OwnerSays>) -> ElsewhereStatus {
    let status = ElsewhereStatus { partition, ..ElsewhereStatus::default() };
    let Some(OwnerSays { host, at, lag_seconds, left_seconds, pin }) = owner else { return status };
    ElsewhereStatus {
        owner: Some(host),
        told_ms: Some(at.0),
        lag_seconds,
        time_left_seconds: left_seconds,
        pinned_by: pin.map(|(source, since)| PinStatus { source, since_ms: since.0, ..PinStatus::default() }),
        ..status
    }
}
