//! Object tags, by which lifecycle rules, bills and policies can distinguish objects.

use crate::sources::SourceId;
use crate::time::ReceivedDay;
use crate::words::date;

/// The tags that objects carry. None by default, because each put with tags also needs `s3:PutObjectTagging`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectTags {
    /// `source`: the source id.
    pub source: bool,
    /// `day`: the received-day as a date, `2026-11-20`.
    pub day: bool,
}

impl ObjectTags {
    /// Whether there are any.
    pub fn any(self) -> bool {
        self.source || self.day
    }

    /// Names and values for an object of `source` and `day`.
    pub fn pairs(self, source: &SourceId, day: ReceivedDay) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        if self.source {
            pairs.push(("source", source.to_string()));
        }
        if self.day {
            pairs.push(("day", date(day)));
        }
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixMillis;

    #[test]
    fn a_day_is_a_date_in_a_tag() {
        let source = SourceId::new("web").unwrap();
        let day = UnixMillis(1_432_684_812_345).day();
        assert!(ObjectTags::default().pairs(&source, day).is_empty());
        let both = ObjectTags { source: true, day: true };
        assert_eq!(
            both.pairs(&source, day),
            [("source", "web".to_owned()), ("day", "2015-05-27".to_owned())]
        );
    }
}
