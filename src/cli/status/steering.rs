//! How the keys steer `forebay status --watch`: the order of the sources, which are shown, from which on. Pure.

use crate::admin::{SourceStatus, Status};
use crate::admin_client::activity::Activity;

/// The most bytes of a filter.
const FILTER_BYTES_MAX: usize = 64;
/// The most bytes of a key that sends several, such as an arrow.
const SEQUENCE_BYTES_MAX: usize = 6;
/// Sources that a page is, whatever the screen shows of each.
const PAGE: usize = 10;
const ESCAPE: u8 = 0x1b;
const BACKSPACE: [u8; 2] = [0x08, 0x7f];
const ENTER: [u8; 2] = [b'\r', b'\n'];

/// The keys, for the last line of the screen.
pub(super) const KEYS: &str = "s sorts, / filters, arrows scroll, q quits";

/// The order of the sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Those with problems first, then the most active ones, if there is no space for all.
    #[default]
    Interest,
    /// By calls a second.
    Rate,
    /// By calls that wait.
    Waiting,
    /// By the age of the oldest call that waits.
    Age,
    /// By name.
    Name,
}

impl Order {
    fn next(self) -> Self {
        match self {
            Self::Interest => Self::Rate,
            Self::Rate => Self::Waiting,
            Self::Waiting => Self::Age,
            Self::Age => Self::Name,
            Self::Name => Self::Interest,
        }
    }

    /// What the sources are sorted by, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interest => "problems first",
            Self::Rate => "by rate",
            Self::Waiting => "by what waits",
            Self::Age => "by age",
            Self::Name => "by name",
        }
    }

    /// Sorts so; what is equal stays as it is. [`Interest`](Self::Interest) leaves all as it is.
    pub fn sort(self, sources: &mut [&SourceStatus], activity: Option<&Activity>) {
        let rate = |id: &str| activity.map_or(0.0, |activity| activity.rate(id));
        match self {
            Self::Interest => {}
            Self::Rate => sources.sort_by(|a, b| rate(&b.id).total_cmp(&rate(&a.id))),
            Self::Waiting => sources.sort_by_key(|source| std::cmp::Reverse(source.pending_calls)),
            Self::Age => {
                sources.sort_by_key(|source| std::cmp::Reverse(source.oldest_undelivered_seconds));
            }
            Self::Name => sources.sort_by(|a, b| a.id.cmp(&b.id)),
        }
    }
}

/// Whether a source's id has this text, whatever its case.
pub fn has(source: &SourceStatus, filter: &str) -> bool {
    filter.is_empty() || source.id.to_lowercase().contains(&filter.to_lowercase())
}

/// What the keys have chosen.
#[derive(Debug, Default)]
pub(super) struct Steering {
    pub(super) order: Order,
    pub(super) filter: String,
    /// Whether the keys are those of a filter.
    pub(super) is_typing: bool,
    /// Sources above the first one shown.
    pub(super) skip: usize,
    /// The bytes so far of a key that sends several.
    sequence: Vec<u8>,
}

impl Steering {
    /// Takes a byte of a key. Whether it ends the command.
    pub(super) fn press(&mut self, byte: u8) -> bool {
        if !self.sequence.is_empty() || byte == ESCAPE {
            self.sequence(byte);
            return false;
        }
        if self.is_typing {
            self.typed(byte);
            return false;
        }
        match byte {
            b'q' | b'Q' => return true,
            b's' | b'S' => {
                self.order = self.order.next();
                self.skip = 0;
            }
            b'/' => {
                self.filter.clear();
                self.is_typing = true;
                self.skip = 0;
            }
            b'j' => self.skip = self.skip.saturating_add(1),
            b'k' => self.skip = self.skip.saturating_sub(1),
            b' ' => self.skip = self.skip.saturating_add(PAGE),
            b'g' => self.skip = 0,
            _ => {}
        }
        false
    }

    fn typed(&mut self, byte: u8) {
        match byte {
            byte if ENTER.contains(&byte) => self.is_typing = false,
            byte if BACKSPACE.contains(&byte) => {
                self.filter.pop();
            }
            // The ids of sources are ASCII.
            byte if byte.is_ascii_graphic() && self.filter.len() < FILTER_BYTES_MAX => {
                self.filter.push(char::from(byte));
            }
            _ => {}
        }
    }

    fn sequence(&mut self, byte: u8) {
        self.sequence.push(byte);
        let is_whole = self.sequence.len() > 2 && (byte.is_ascii_alphabetic() || byte == b'~');
        match (self.sequence.as_slice(), is_whole) {
            (b"\x1b[A" | b"\x1bOA", true) => self.skip = self.skip.saturating_sub(1),
            (b"\x1b[B" | b"\x1bOB", true) => self.skip = self.skip.saturating_add(1),
            (b"\x1b[5~", true) => self.skip = self.skip.saturating_sub(PAGE),
            (b"\x1b[6~", true) => self.skip = self.skip.saturating_add(PAGE),
            (b"\x1b[H" | b"\x1bOH" | b"\x1b[1~", true) => self.skip = 0,
            _ => {}
        }
        // Escape alone, and another key after it.
        let is_key = matches!(self.sequence.as_slice(), [ESCAPE] | [ESCAPE, b'[' | b'O', ..]);
        if is_whole || !is_key || self.sequence.len() >= SEQUENCE_BYTES_MAX {
            self.sequence.clear();
        }
    }

    /// Keeps the last source of the filter on the screen.
    pub(super) fn stay_within(&mut self, status: &Status) {
        let all = status.sources.iter().filter(|source| has(source, &self.filter)).count();
        self.skip = self.skip.min(all.saturating_sub(1));
    }

    /// What is chosen, for the last line of the screen.
    pub(super) fn told(&self) -> String {
        let order = if self.order == Order::Interest { "" } else { self.order.name() };
        let filter = match (self.filter.as_str(), self.is_typing) {
            ("", false) => String::new(),
            (filter, true) => format!("filter: {filter}_ (Enter ends)"),
            (filter, false) => format!("only *{filter}*"),
        };
        [order, &filter].into_iter().filter(|text| !text.is_empty()).map(|text| format!("{text}; ")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(keys: &str) -> Steering {
        let mut steering = Steering::default();
        for byte in keys.bytes() {
            assert!(!steering.press(byte), "{keys:?}");
        }
        steering
    }

    #[test]
    fn keys_sort_filter_and_scroll() {
        assert_eq!(pressed("s").order, Order::Rate);
        assert_eq!(pressed("sssss").order, Order::Interest);
        let check = |keys: &str, filter: &str, typing: bool, skip: usize| {
            let now = pressed(keys);
            assert_eq!((&*now.filter, now.is_typing, now.skip), (filter, typing, skip), "{keys:?}");
        };
        check("/web", "web", true, 0);
        check("/Webq\x7f\r", "Web", false, 0);
        check("/web\r/", "", true, 0);
        check("jjk", "", false, 1);
        check("\x1b[B\x1b[B\x1b[A", "", false, 1);
        check("\x1bOB\x1b[6~", "", false, 11);
        check("\x1b[6~\x1b[5~\x1b[5~", "", false, 0);
        check(" \x1b[H", "", false, 0);
        // Escape alone takes the next key with it; an unknown sequence does nothing.
        check("\x1bjj", "", false, 1);
        check("\x1b[99;99;99~j", "", false, 1);
        check(&format!("/{}", "x".repeat(100)), &"x".repeat(FILTER_BYTES_MAX), true, 0);
        assert!(pressed("").press(b'q') && pressed("/q\r").press(b'Q'));
    }

    #[test]
    fn sources_are_sorted_and_the_last_one_stays() {
        let source = |id: &str, pending_calls, oldest_undelivered_seconds| SourceStatus {
            id: id.to_owned(),
            pending_calls,
            oldest_undelivered_seconds,
            ..SourceStatus::default()
        };
        let all = [source("web", 5, Some(1)), source("Ios", 0, None), source("app", 9, Some(7))];
        let check = |order: Order, expected: [&str; 3]| {
            let mut sorted: Vec<&SourceStatus> = all.iter().collect();
            order.sort(&mut sorted, None);
            assert_eq!(sorted.iter().map(|source| &*source.id).collect::<Vec<_>>(), expected, "{order:?}");
        };
        check(Order::Interest, ["web", "Ios", "app"]);
        check(Order::Rate, ["web", "Ios", "app"]);
        check(Order::Waiting, ["app", "web", "Ios"]);
        check(Order::Age, ["app", "web", "Ios"]);
        check(Order::Name, ["Ios", "app", "web"]);
        let status = Status { sources: all.to_vec(), ..Status::default() };
        let mut steering = pressed("    ");
        steering.stay_within(&status);
        assert_eq!(steering.skip, 2);
        steering.filter = "IOS".to_owned();
        steering.stay_within(&status);
        assert_eq!(steering.skip, 0);
        assert_eq!(steering.told(), "only *IOS*; ");
        assert_eq!(pressed("s/w").told(), "by rate; filter: w_ (Enter ends); ");
    }
}
