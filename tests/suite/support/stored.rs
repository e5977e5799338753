//! What a log holds that is not sealed yet.

use forebay::log::frame::Origin;
use forebay::log::{Go, Log, Read};
use forebay::object::Stream;

/// A stored line.
#[derive(Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) stream: Stream,
    pub(crate) line: String,
    pub(crate) origin: Option<Origin>,
}

/// The stored lines of a source, batch by batch, in order.
pub(crate) fn stored(log: &dyn Log, source: &str) -> Vec<Stored> {
    let mut all = Vec::new();
    for batch in log.open_batches().into_iter().filter(|batch| batch.key.source.as_str() == source) {
        let mut visit = |read: Read<'_>| {
            let Read::Frame(frame) = read else { panic!("a frame is damaged") };
            let line = String::from_utf8(frame.payload.to_vec()).unwrap();
            all.push(Stored { stream: batch.key.stream.clone(), line, origin: frame.origin });
            Ok(Go::On)
        };
        log.read(&batch.key, 0, u64::MAX, &mut visit).unwrap();
    }
    all
}
