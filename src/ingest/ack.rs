//! The acknowledgement that a caller gets once its lines are on stable storage, with its receipts.

use std::fmt;

use crate::log::{ImportProgress, InLogs};
use crate::receipt;
use crate::sources::SourceId;
use crate::time::ReceivedDay;

/// A durable acknowledgement: everything that it counts is on stable storage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// Calls in the request, repeats included.
    pub calls: u32,
    /// Items that are not valid calls, stored in the rejected stream.
    pub rejected: u32,
    /// Calls that were stored before and are not stored again.
    pub repeats: u32,
    /// Where the stored lines are, if receipts are on and any were stored.
    pub receipts: Option<Receipts>,
    /// The file's progress, if the request was a step of an import.
    pub import: Option<ImportProgress>,
}

/// The receipts of one request: one, unless its lines are in several logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipts {
    source: SourceId,
    day: ReceivedDay,
    stored_in: InLogs,
}

impl Receipts {
    /// The receipts of lines of a source and a day. `None` if no positions of the lines are known.
    pub(super) fn new((source, day): (SourceId, ReceivedDay), stored_in: InLogs) -> Option<Self> {
        (!stored_in.is_empty()).then_some(Self { source, day, stored_in })
    }
}

/// The text of the answer's header: the tokens of the receipts, separated by commas.
impl fmt::Display for Receipts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, one) in self.stored_in.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            receipt::write_token(f, (&self.source, self.day), &one.log, (one.first, one.last()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{InLog, LogId};
    use crate::time::UnixMillis;

    #[test]
    fn each_log_of_a_request_has_its_receipt() {
        let stretch = |log: u8, first, frames| InLog { log: LogId([log; 16]), first, frames };
        let of = |all: &[InLog]| {
            let about = (SourceId::new("web").unwrap(), UnixMillis(0).day());
            Receipts::new(about, all.iter().copied().collect())
        };
        assert_eq!(of(&[]), None);
        let (one, two) = (format!("web/0/{}/5-7", "01".repeat(16)), format!("web/0/{}/9", "02".repeat(16)));
        let single = of(&[stretch(1, 5, 3)]).unwrap();
        assert_eq!(single.to_string(), one);
        let both = of(&[stretch(1, 5, 3), stretch(2, 9, 1)]).unwrap();
        assert_eq!(both.to_string(), format!("{one},{two}"));
    }
}
