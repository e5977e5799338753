//! The window of repeats: a call is a repeat if one of the frames before it has its fingerprint, whether or
//! not that one was itself left out. So the verdict is a function of the log.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::planted_bugs::{PlantedBug, planted};

/// Frames of the window of a new partition: 5 MB. The first snapshot fixes it.
pub const WINDOW_FRAMES: u64 = 262_144;

/// With so many, a table gets room for all that come: what it grows out of is left behind.
const MANY: usize = 16_384;

/// How many frames are made room for at once.
fn room(size: u32) -> usize {
    usize::try_from(u64::from(size).min(WINDOW_FRAMES)).unwrap_or_default()
}

/// Three quarters of a fingerprint, which tell frames apart as well: among 262,144 of them, one in 3 * 10^23 calls
/// would be taken for another. `NONE` is a frame without a fingerprint.
type Print = [u32; 3];
const NONE: Print = [0; 3];

#[expect(clippy::cast_possible_truncation, reason = "the highest quarter is left out")]
fn print(fingerprint: u128) -> Print {
    [fingerprint as u32, (fingerprint >> 32) as u32, (fingerprint >> 64) as u32]
}

/// A place in three bytes: a slot of the table is one fifth shorter than with four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place([u8; 3]);

/// Frames of the longest window.
const LONGEST: u32 = (1 << 24) - 1;

impl Place {
    fn of(index: u32) -> Self {
        let [low, middle, high, _] = index.to_le_bytes();
        Self([low, middle, high])
    }

    fn index(self) -> usize {
        let Self([low, middle, high]) = self;
        u32::from_le_bytes([low, middle, high, 0]) as usize
    }
}

/// Two thirds of it are enough to find its place.
fn hash_of(hasher: &DefaultHashBuilder, [low, middle, _]: Print) -> u64 {
    hasher.hash_one(u64::from(low) | u64::from(middle) << 32)
}

/// The fingerprints of the last frames. A frame takes 20 bytes.
#[derive(Clone, Debug)]
pub struct Window {
    size: u32,
    /// The fingerprint at each place. The next frame comes to `next`.
    frames: Vec<Print>,
    next: u32,
    /// The place of the last frame with each fingerprint.
    places: HashTable<Place>,
    /// Seeded at random: clients know what fingerprints are made of, and nothing tells them which meet in the table.
    hasher: DefaultHashBuilder,
}

impl Window {
    /// An empty window of `size` frames. It holds at most 2^24 - 1.
    pub fn new(size: u64) -> Self {
        let size = u32::try_from(size).unwrap_or(u32::MAX).min(LONGEST);
        Self {
            size,
            // Memory counts once it is written, and growing by doubling would leave as much of it behind.
            frames: Vec::with_capacity(room(size)),
            next: 0,
            places: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Forgets all frames.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.places.clear();
        self.next = 0;
    }

    /// Loads what taking these fingerprints will read into the processor's caches. It changes nothing and is only
    /// for speed: these reads wait for memory in parallel, those of [`Window::takes`] one after the other.
    pub fn prefetch(&self, fingerprints: impl Iterator<Item = u128>) {
        let load = |print: Print| {
            let place = self.places.find(hash_of(&self.hasher, print), |_| true);
            place.map_or(0, |place| place.index())
        };
        let mut leaving = self.frames.iter().skip(self.next as usize);
        let touched = fingerprints.fold(0, |touched, fingerprint| {
            let leaves = leaving.next().map_or(0, |leaves| load(*leaves));
            touched ^ load(print(fingerprint)) ^ leaves
        });
        std::hint::black_box(touched);
    }

    /// Takes the next frame of the log. Returns whether it is a repeat. 0 never is.
    pub fn takes(&mut self, fingerprint: u128) -> bool {
        let Self { frames, places, hasher, .. } = self;
        let at = |place: &Place| frames.get(place.index()).copied().unwrap_or(NONE);
        let print = print(fingerprint);
        let hash = hash_of(hasher, print);
        let known = print != NONE && places.find(hash, |place| at(place) == print).is_some();
        if known && planted(PlantedBug::WindowOfVerdicts) {
            return true;
        }
        if self.size == 0 {
            return false;
        }
        let (next, place) = (self.next, Place::of(self.next));
        let leaving = at(&place);
        if leaving != NONE
            && let Ok(last) = places.find_entry(hash_of(hasher, leaving), |known| *known == place)
        {
            last.remove();
        }
        if print != NONE {
            if let Ok(before) = places.find_entry(hash, |known| at(known) == print) {
                before.remove();
            }
            if places.len() == MANY {
                places.reserve(room(self.size).saturating_sub(MANY), |known| hash_of(hasher, at(known)));
            }
            // It is at its place from now on.
            let of = |known: &Place| hash_of(hasher, if *known == place { print } else { at(known) });
            places.insert_unique(hash, place, of);
        }
        match self.frames.get_mut(place.index()) {
            Some(known) => *known = print,
            None => self.frames.push(print),
        }
        self.next = if next + 1 == self.size { 0 } else { next + 1 };
        known
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_window_takes_as_much_memory_as_the_page_says() {
        let mut window = Window::new(WINDOW_FRAMES);
        for frame in 1..=3 * u128::from(WINDOW_FRAMES) {
            assert!(!window.takes(frame * 0x9e37_79b9_7f4a_7c15), "frame {frame}");
        }
        let bytes = window.frames.capacity() * size_of::<Print>() + window.places.allocation_size();
        assert!(bytes <= 5_300_000, "{bytes} bytes");
    }

    proptest! {
        #[test]
        fn a_window_answers_like_a_list(calls in prop::collection::vec(0_u128..12, 0..200), size in 0_u64..9) {
            let mut window = Window::new(size);
            for (at, call) in calls.iter().enumerate() {
                let from = at.saturating_sub(usize::try_from(size).unwrap());
                let repeat = *call != 0 && calls[from..at].contains(call);
                prop_assert_eq!(window.takes(*call), repeat);
            }
        }
    }
}
