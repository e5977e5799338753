//! Which partition a call goes to.

use std::collections::BTreeMap;

use twox_hash::XxHash3_64;

use super::block::Part;
use crate::log::RequestFrames;
use crate::log::frame::{self, FrameKind};
use crate::sources::SourceId;

/// The most partitions over which a source is spread.
pub const SPREAD_MAX: u32 = 1_024;

/// The slot of a call of a source that is spread over so many. Rejected items and object sets have slot 0.
pub fn slot(message_id: &[u8], spread: u32) -> u32 {
    u32::try_from(XxHash3_64::oneshot(message_id) % u64::from(spread.max(1))).unwrap_or(0)
}

/// The partition of a source's slot. The same for every collector that knows the number of partitions.
pub fn partition(source: &SourceId, slot: u32, partitions: u32) -> u32 {
    let key = [source.as_str().as_bytes(), &slot.to_le_bytes()].concat();
    u32::try_from(XxHash3_64::oneshot(&key) % u64::from(partitions.max(1))).unwrap_or(0)
}

/// What a request brings to each partition. Frames keep their order within a partition.
///
/// A call's slot follows from its fingerprint, which has its messageId: a repeat goes where its first copy is.
/// Items that left no frame are counted in the first part.
pub fn parts(frames: RequestFrames, spread: u32, partitions: u32) -> Vec<(u32, Part)> {
    let items = frames.items();
    let RequestFrames { source, stream, bytes, .. } = frames;
    if spread <= 1 {
        let partition = partition(&source, 0, partitions);
        return vec![(partition, Part::new(source, stream, items, bytes))];
    }
    let mut of: BTreeMap<u32, (u32, Vec<u8>)> = BTreeMap::new();
    let mut rest = &bytes[..];
    while let Some((one, behind)) = frame::length(rest).and_then(|len| rest.split_at_checked(len)) {
        let (frames, bytes) = of.entry(partition(&source, slot_of(one, spread), partitions)).or_default();
        *frames += 1;
        bytes.extend_from_slice(one);
        rest = behind;
    }
    let mut without_frame = items.saturating_sub(of.values().map(|(frames, _)| *frames).sum());
    let part = |(partition, (frames, bytes)): (u32, (u32, Vec<u8>))| {
        let items = frames.saturating_add(std::mem::take(&mut without_frame));
        (partition, Part::new(source.clone(), stream.clone(), items, bytes))
    };
    of.into_iter().map(part).collect()
}

fn slot_of(one: &[u8], spread: u32) -> u32 {
    match frame::head(one) {
        Some(head) if head.kind == FrameKind::Call && head.fingerprint != 0 => {
            slot(&head.fingerprint.to_le_bytes(), spread)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{LineSink as _, RejectReason};
    use crate::time::UnixMillis;

    /// Frames of calls with these fingerprints; 0 is a rejected item.
    fn frames(fingerprints: &[u128]) -> RequestFrames {
        let mut frames = RequestFrames::new(SourceId::new("web").unwrap(), UnixMillis(1), 0);
        for fingerprint in fingerprints {
            frames.line().extend_from_slice(b"{}");
            match fingerprint {
                0 => frames.rejected(RejectReason::ALL[0]),
                fingerprint => frames.call(*fingerprint),
            }
        }
        frames.came(fingerprints.len() + 1);
        frames
    }

    #[test]
    fn a_request_is_divided_over_the_partitions_of_its_source() {
        let prints: Vec<u128> = (0..100).collect();
        let whole = parts(frames(&prints), 1, 12);
        assert_eq!(
            whole.iter().map(|(to, part)| (*to, part.frames, part.items)).collect::<Vec<_>>(),
            [(3, 100, 101)]
        );
        let divided = parts(frames(&prints), 4, 12);
        let to: Vec<u32> = divided.iter().map(|(to, _)| *to).collect();
        let mut all = PARTITIONS;
        all.sort_unstable();
        assert_eq!(to, all);
        assert_eq!(divided.iter().map(|(_, part)| part.items).sum::<u32>(), 101);
        for (to, part) in &divided {
            let found: Vec<u128> = frame::fingerprints(&part.bytes).collect();
            let slot_of = |print: u128| if print == 0 { 0 } else { slot(&print.to_le_bytes(), 4) };
            let wanted = |print: &u128| partition(&part.source, slot_of(*print), 12) == *to;
            assert_eq!(found, prints.iter().copied().filter(wanted).collect::<Vec<_>>(), "in order");
        }
        // A repeat goes where its first copy went.
        let again = parts(frames(&[7]), 4, 12);
        assert!(
            divided
                .iter()
                .any(|(to, part)| *to == again[0].0 && frame::fingerprints(&part.bytes).any(|p| p == 7))
        );
    }

    /// These values are part of the format: collectors of different releases must agree.
    #[test]
    fn a_call_always_goes_to_the_same_partition() {
        let web = SourceId::new("web").unwrap();
        let found: Vec<u32> = (0..4).map(|slot| partition(&web, slot, 12)).collect();
        assert_eq!((found, slot(b"m-1", 4), slot(b"m-1", 1)), (PARTITIONS.to_vec(), SLOT, 0));
    }

    const PARTITIONS: [u32; 4] = [3, 2, 11, 1];
    const SLOT: u32 = 2;
}
