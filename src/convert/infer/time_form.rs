//! The form that the times of a column have.

use crate::call::export_time::{self, Numbers, SECONDS};
use crate::convert::node::Node;
use crate::convert::times::ms_of_int96;
use crate::convert::value::Value;

closed_list! {
    /// The form of times.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) enum TimeForm {
        /// ISO 8601.
        Iso,
        /// Unix time in whole seconds.
        Seconds,
        /// Unix time in seconds with fractions.
        SecondsWithFraction,
        /// Unix time in milliseconds.
        Millis,
        /// Unix time in microseconds.
        Micros,
        /// Unix time in nanoseconds.
        Nanos,
        /// 96 bits in base64, as parquet has them.
        Int96,
        /// Several forms; the field `time` can read each of them.
        Several,
    }
}

impl TimeForm {
    /// The form of one text. `None`: it is no time.
    fn of(said: &str) -> Option<Self> {
        if is_int96(said) {
            return Some(Self::Int96);
        }
        export_time::parse(said.as_bytes(), Numbers::ByMagnitude)?;
        if !export_time::is_number(said.as_bytes()) {
            return Some(Self::Iso);
        }
        let (whole, fraction) = said.trim().split_once('.').unwrap_or((said.trim(), ""));
        let number: u64 = whole.parse().ok()?;
        let within = |unit: u64| (SECONDS.start * unit..SECONDS.end * unit).contains(&number);
        Some(match () {
            () if within(1) && fraction.bytes().all(|digit| digit == b'0') => Self::Seconds,
            () if within(1) => Self::SecondsWithFraction,
            () if within(1_000) => Self::Millis,
            () if within(1_000_000) => Self::Micros,
            () if within(1_000_000_000) => Self::Nanos,
            // A date without separators, such as 20190511.
            () => Self::Several,
        })
    }

    /// The source of the field `time` for a column of this form. `has_nulls`: the column has null in some
    /// rows, which operators of numbers would take for 0.
    pub(super) fn source(self, column: &str, has_nulls: bool) -> Node {
        let whole = |number: i64| Node::List(vec![Node::text("int"), Node::Number(number.to_string())]);
        let operator =
            |name: &str, by: i64| Node::List(vec![Node::text(name), Node::text(column), whole(by)]);
        let source = match self {
            Self::Iso => return Node::List(vec![Node::text("iso_time_to_ms"), Node::text(column)]),
            Self::Int96 => return Node::List(vec![Node::text("int96_time_to_ms"), Node::text(column)]),
            Self::Millis | Self::Several => return Node::text(column),
            Self::Seconds => operator("multiply", 1_000),
            Self::SecondsWithFraction => Node::List(vec![Node::text("round"), operator("multiplyf", 1_000)]),
            Self::Micros => operator("divide", 1_000),
            Self::Nanos => operator("divide", 1_000_000),
        };
        if !has_nulls {
            return source;
        }
        let null = || Node::List(vec![Node::text("value"), Node::Null]);
        let is_null = Node::List(vec![Node::text("equals"), Node::text(column), null()]);
        Node::List(vec![Node::text("ifelse"), is_null, null(), source])
    }
}

/// Whether a text is a time of 96 bits. Of other texts with as many characters one in a hundred thousand is
/// within these years, and all values of a column must be.
fn is_int96(said: &str) -> bool {
    const LENGTH: usize = 16;
    if said.len() != LENGTH {
        return false;
    }
    let Some(Value::Int(ms)) = ms_of_int96(said) else { return false };
    u64::try_from(ms / 1_000).is_ok_and(|seconds| SECONDS.contains(&seconds))
}

/// How many values of a column have each form.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TimeForms([u64; TimeForm::ALL.len()]);

impl TimeForms {
    pub(super) fn add(&mut self, said: &str) {
        if let Some(count) = TimeForm::of(said).and_then(|form| self.0.get_mut(form as usize)) {
            *count += 1;
        }
    }

    /// The form of all so many values. `None`: some are no times.
    pub(super) fn form(&self, values: u64) -> Option<TimeForm> {
        if self.0.iter().sum::<u64>() < values {
            return None;
        }
        let one = TimeForm::ALL.into_iter().find(|form| self.0.get(*form as usize) == Some(&values));
        let of_seconds =
            self.0.get(TimeForm::Seconds as usize).zip(self.0.get(TimeForm::SecondsWithFraction as usize));
        let seconds = of_seconds.filter(|(whole, parts)| **whole + **parts == values);
        if one.is_none() && self.0.get(TimeForm::Int96 as usize).is_some_and(|count| *count > 0) {
            // The field `time` cannot read both.
            return None;
        }
        Some(one.or(seconds.map(|_| TimeForm::SecondsWithFraction)).unwrap_or(TimeForm::Several))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_from_all_values() {
        let check = |values: &[&str], expected: Option<TimeForm>| {
            let mut forms = TimeForms::default();
            values.iter().for_each(|value| forms.add(value));
            assert_eq!(forms.form(values.len() as u64), expected, "{values:?}");
        };
        check(&["2024-03-01T12:00:00Z", "2024-03-01 12:00:00"], Some(TimeForm::Iso));
        check(&["1709294400", "1709294400.0"], Some(TimeForm::Seconds));
        check(&["1709294400", "1709294400.25"], Some(TimeForm::SecondsWithFraction));
        check(&["1709294400250"], Some(TimeForm::Millis));
        check(&["1709294400250000"], Some(TimeForm::Micros));
        check(&["1709294400250000000"], Some(TimeForm::Nanos));
        check(&["20240301"], Some(TimeForm::Several));
        check(&["1709294400", "2024-03-01T12:00:00Z"], Some(TimeForm::Several));
        check(&["AP6qCz41AAAwhCUA", "AAAAAAAAAABsbCUA"], Some(TimeForm::Int96));
        check(&["AP6qCz41AAAwhCUA", "2024-03-01T12:00:00Z"], None);
        check(&["AAAAAAAAAACMPSUA"], None);
        check(&["1709294400", "yesterday"], None);
        check(&["12", "17"], None);
    }

    #[test]
    fn nulls_do_not_become_the_year_1970() {
        assert_eq!(TimeForm::Seconds.source("t", false).json(), r#"["multiply","t",["int",1000]]"#);
        assert_eq!(
            TimeForm::Seconds.source("t", true).json(),
            r#"["ifelse",["equals","t",["value",null]],["value",null],["multiply","t",["int",1000]]]"#
        );
        assert_eq!(TimeForm::Iso.source("t", true).json(), r#"["iso_time_to_ms","t"]"#);
    }
}
