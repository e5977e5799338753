//! An encoder lets others have its core.

use crate::spool::Outlet;

/// Bytes of lines between two offers: a tenth of a millisecond's work.
const EVERY: usize = 32 * 1_024;
/// Offers between two looks at the spool, which take its index.
const LOOK_EVERY: usize = 128;

/// When an encoder offers its core to others. Low priority alone is not enough: the kernel leaves a core to the thread that has
/// it for some milliseconds, whoever is waiting, and an answer would wait as long.
#[derive(Debug, Default)]
pub(super) struct GiveWay {
    bytes: usize,
    offers: usize,
    /// Room in the spool is more urgent than answers are.
    pressed: bool,
}

impl GiveWay {
    /// After the next `bytes` of lines.
    pub(super) fn after(&mut self, bytes: usize, outlet: &Outlet) {
        self.bytes += bytes;
        if self.bytes < EVERY {
            return;
        }
        self.bytes = 0;
        if self.offers.is_multiple_of(LOOK_EVERY) {
            self.pressed = outlet.is_under_pressure();
        }
        self.offers += 1;
        if !self.pressed {
            std::thread::yield_now();
        }
    }
}
