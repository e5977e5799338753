//! Objects that are compressed in another way than the converter's `compressionType` says, whoever found
//! them: a pass, a message, or a person who named them. Their content decides.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use crate::convert::Compression as Named;
use crate::import::reading::compression::Compression;
use crate::lock::lock;
use crate::time::UnixMillis;

/// The most objects that are remembered: the last ones.
const OBJECTS_MAX: usize = 1_000;
/// How long an object is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 3_600);

/// How many objects are compressed in another way than the converter says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherCompression {
    /// How many objects.
    pub objects: u64,
    /// Whether there may be more: no more are remembered.
    pub or_more: bool,
    /// The name of the first one.
    pub first: String,
    /// How the first one is compressed.
    pub compression: Compression,
    /// What the converter says.
    pub named: Named,
}

/// Such objects of an import, as long as its settings stay the same. An object is forgotten once it is
/// compressed as the converter says when it is read again, and after a day.
#[derive(Debug, Default)]
pub struct OtherCompressions(Mutex<VecDeque<Other>>);

#[derive(Debug)]
struct Other {
    name: String,
    compression: Compression,
    named: Named,
    at: UnixMillis,
}

impl OtherCompressions {
    /// Notes how an object is compressed that is read now.
    pub(super) fn note(&self, name: &str, (compression, named): (Compression, Named), now: UnixMillis) {
        let mut others = lock(&self.0);
        others.retain(|other| other.name != name);
        if named == Named::Auto || named.name() == compression.as_str() {
            return;
        }
        if others.len() >= OBJECTS_MAX {
            others.pop_front();
        }
        others.push_back(Other { name: name.to_owned(), compression, named, at: now });
    }

    /// Those of the last day.
    pub fn now(&self, now: UnixMillis) -> Option<OtherCompression> {
        self.since(now.minus(REMEMBERED))
    }

    /// Those that were read from this moment on.
    pub(super) fn since(&self, since: UnixMillis) -> Option<OtherCompression> {
        let others = lock(&self.0);
        let met = || others.iter().filter(|other| other.at >= since);
        let first = met().next()?;
        Some(OtherCompression {
            objects: met().count() as u64,
            or_more: met().count() >= OBJECTS_MAX,
            first: first.name.clone(),
            compression: first.compression,
            named: first.named,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GZIP: (Compression, Named) = (Compression::Gzip, Named::Gzip);
    const PLAIN: (Compression, Named) = (Compression::None, Named::Gzip);

    fn at(second: i64) -> UnixMillis {
        UnixMillis(1_000 * second)
    }

    #[test]
    fn objects_that_are_compressed_in_another_way_are_counted_and_the_first_is_named() {
        let others = OtherCompressions::default();
        others.note("a", (Compression::Gzip, Named::Auto), at(1));
        others.note("b", GZIP, at(2));
        assert_eq!(others.now(at(2)), None);
        others.note("c", PLAIN, at(3));
        others.note("d", (Compression::Zip, Named::Gzip), at(4));
        let met = others.now(at(5)).unwrap();
        assert_eq!((met.objects, met.first.as_str(), met.compression), (2, "c", Compression::None));
        let met = others.since(at(4)).unwrap();
        assert_eq!((met.objects, met.first.as_str(), met.compression), (1, "d", Compression::Zip));
        assert_eq!(others.since(at(5)), None);
    }

    #[test]
    fn an_object_is_forgotten_once_it_is_as_the_converter_says_and_after_a_day() {
        let others = OtherCompressions::default();
        let count = |now| others.now(now).map_or(0, |met| met.objects);
        others.note("a", PLAIN, at(1));
        others.note("b", PLAIN, at(2));
        others.note("a", PLAIN, at(3));
        assert_eq!(count(at(3)), 2, "each once");
        others.note("b", GZIP, at(4));
        assert_eq!(count(at(4)), 1);
        let a_day = 24 * 3_600;
        assert_eq!([count(at(3 + a_day)), count(at(4 + a_day))], [1, 0]);
    }

    #[test]
    fn the_last_objects_are_remembered() {
        let others = OtherCompressions::default();
        for number in 0..=OBJECTS_MAX {
            let met = others.now(at(1));
            assert_eq!(met.map_or(0, |met| met.objects), number as u64);
            others.note(&number.to_string(), PLAIN, at(1));
        }
        let met = others.now(at(1)).unwrap();
        assert_eq!((met.objects, met.or_more, met.first.as_str()), (OBJECTS_MAX as u64, true, "1"));
    }
}
