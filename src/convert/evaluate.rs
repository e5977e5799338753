//! Evaluates compiled sources on a row.
//!
//! A source has a value or none. An operator without the value of a source has none itself, except where its
//! comment says otherwise.

use std::borrow::Cow;
use std::cell::Cell;

use super::object_text::begin;
use super::operator::Operator;
use super::row::Row;
use super::source::{Arithmetic, Member, One, Source};
use super::unread::{Unread, UnreadNotes};
use super::value::{self, Value};
use super::{numbers, structure, texts, times};
use crate::time::UnixMillis;

/// The most bytes that the operators of one row may make together, and that its calls may have.
pub const ROW_BYTES_MAX: usize = 1_024 * 1_024;

/// One row that is being evaluated.
#[derive(Debug)]
pub(super) struct Evaluation<'e> {
    row: &'e Row<'e>,
    now: UnixMillis,
    /// Bytes made so far.
    made: Cell<usize>,
    fractions_dropped: Cell<bool>,
    unread: UnreadNotes,
}

impl<'e> Evaluation<'e> {
    pub(super) fn new(row: &'e Row<'e>, now: UnixMillis) -> Self {
        Self {
            row,
            now,
            made: Cell::new(0),
            fractions_dropped: Cell::new(false),
            unread: UnreadNotes::default(),
        }
    }

    /// The value of a source, if it has one.
    pub(super) fn value(&self, source: &'e Source) -> Option<Value<'e>> {
        self.eval(source, None)
    }

    /// As [`Evaluation::value`], with the values that operators could not use.
    pub(super) fn value_and_unread(&self, source: &'e Source) -> (Option<Value<'e>>, Vec<Unread>) {
        self.unread.during(|| self.value(source))
    }

    /// As [`Evaluation::write`], with the values that operators could not use.
    pub(super) fn write_and_unread(&self, source: &'e Source, out: &mut Vec<u8>) -> (bool, Vec<Unread>) {
        self.unread.during(|| self.write(source, out))
    }

    /// Appends the value of a source as JSON. Returns whether there is one; if not, `out` is as it was.
    pub(super) fn write(&self, source: &'e Source, out: &mut Vec<u8>) -> bool {
        self.write_in(source, None, out)
    }

    /// Whether the row needs more than [`ROW_BYTES_MAX`]. Its values are then incomplete.
    pub(super) fn is_too_large(&self) -> bool {
        self.made.get() > ROW_BYTES_MAX
    }

    /// Whether an operator of whole numbers has dropped a fraction.
    pub(super) fn has_dropped_fractions(&self) -> bool {
        self.fractions_dropped.get()
    }

    /// Counts bytes that are made. `None`: there are too many, so nothing more is made for this row.
    #[inline]
    fn spend(&self, bytes: usize) -> Option<()> {
        let made = self.made.get().saturating_add(bytes);
        self.made.set(made);
        (made <= ROW_BYTES_MAX).then_some(())
    }

    /// Values of columns and objects are written without a copy in between.
    fn write_in(&self, source: &'e Source, element: Option<&Value<'e>>, out: &mut Vec<u8>) -> bool {
        let written = match source {
            Source::Column(slot) => self.row.get(*slot).and_then(|value| self.write_value(value, out)),
            Source::Constant(value) => self.write_value(value, out),
            Source::Dict(members) => {
                self.write_dict(members, element, out);
                Some(())
            }
            Source::Array(elements) => {
                out.push(b'[');
                for source in elements {
                    let before = out.len();
                    if out.last() != Some(&b'[') {
                        out.push(b',');
                    }
                    if !self.write_in(source, element, out) {
                        out.truncate(before);
                    }
                }
                out.push(b']');
                Some(())
            }
            other => self.eval(other, element).and_then(|value| self.write_value(&value, out)),
        };
        written.is_some()
    }

    #[inline]
    fn write_value(&self, value: &Value<'_>, out: &mut Vec<u8>) -> Option<()> {
        self.spend(value.len())?;
        value.write(out);
        Some(())
    }

    fn write_dict(&self, members: &'e [Member], element: Option<&Value<'e>>, out: &mut Vec<u8>) {
        out.push(b'{');
        for Member { fragment, source, .. } in members {
            let before = out.len();
            begin(fragment, out);
            if !self.write_in(source, element, out) {
                out.truncate(before);
            }
        }
        out.push(b'}');
    }

    /// The recursion is bounded by the depth of a converter file.
    fn eval(&self, source: &'e Source, element: Option<&Value<'e>>) -> Option<Value<'e>> {
        let of = |source: &'e Source| self.eval(source, element);
        match source {
            Source::Column(slot) => self.row.get(*slot).map(Value::borrowed),
            Source::Key(name) => part_of(element?, name),
            Source::Constant(value) => Some(value.borrowed()),
            Source::Path(first, rest) => {
                rest.iter().try_fold(of(first)?, |element, source| self.eval(source, Some(&element)))
            }
            Source::Any(sources) => {
                let before = self.unread.len();
                sources.iter().find_map(|source| {
                    let here = self.unread.len();
                    let value = of(source)?;
                    self.unread.forget(before, here);
                    Some(value)
                })
            }
            Source::Dict(_) => self.made_json(source, element).map(Value::Object),
            Source::Array(_) => self.made_json(source, element).map(Value::List),
            Source::MergeDicts(sources) => {
                // Without an object among the sources there is no value.
                let objects: Vec<Value<'e>> = sources.iter().filter_map(of).collect();
                self.spent(structure::merged(&objects)?)
            }
            Source::FlattenDict { separator, levels, of: dict } => {
                let levels = numbers::int(&of(levels)?)?;
                let dict = of(dict)?;
                let flat = self.bounded(|left| structure::flattened(separator, levels, &dict, left));
                self.unread.used(Operator::FlattenDict, &dict, flat)
            }
            Source::ExcludeKeys { of: dict, names } => {
                let dict = of(dict)?;
                let rest = structure::without(&dict, names).and_then(|rest| self.spent(rest));
                self.unread.used(Operator::ExcludeKeys, &dict, rest)
            }
            Source::Condition(pairs) => {
                let (_, chosen) = pairs.iter().find(|(condition, _)| self.is_true(condition, element))?;
                of(chosen)
            }
            Source::IfElse(sources) => {
                let [condition, yes, no] = &**sources;
                of(if self.is_true(condition, element) { yes } else { no })
            }
            Source::SampleMd5 { percent, key } => {
                let percent = numbers::float(&of(percent)?)?;
                texts::in_sample(percent, &of(key)?).map(Value::Bool)
            }
            Source::Now { iso: true } => times::iso_of(self.now),
            Source::Now { iso: false } => Some(Value::Int(self.now.0)),
            Source::ParseTime(pattern, time) => {
                let time = of(time)?;
                let at = time.text().and_then(|text| pattern.read(&text));
                self.unread.used(Operator::ParseTimeToMs, &time, at).map(|at| Value::Int(at.0))
            }
            Source::Concat(sources) => {
                let mut all = String::new();
                for source in sources {
                    let value = of(source)?;
                    let text = self.unread.used(Operator::Concat, &value, value.said())?;
                    self.spend(text.len())?;
                    all.push_str(&text);
                }
                Some(Value::Text(all.into()))
            }
            Source::Replace(replace, text) => {
                let text = of(text)?;
                let replaced = self.bounded(|left| texts::replaced(replace, &text, left));
                self.unread.used(Operator::ReplaceWith, &text, replaced)
            }
            Source::Split(separator, text) => {
                let text = of(text)?;
                let parts = texts::split(separator, &text).and_then(|parts| self.spent(parts));
                self.unread.used(Operator::Split, &text, parts)
            }
            Source::Booleans { all, of: sources } => {
                for source in sources {
                    if of(source)?.is_true() != *all {
                        return Some(Value::Bool(!all));
                    }
                }
                Some(Value::Bool(*all))
            }
            Source::Equals(both) => {
                let [one, other] = &**both;
                Some(Value::Bool(structure::are_equal(&of(one)?, &of(other)?)))
            }
            Source::Contains(part, value) => Some(Value::Bool(texts::contains(part, &of(value)?))),
            Source::One(one, value) => {
                let value = of(value)?;
                let kept = self.unread.kept(&value);
                let result = self.one(*one, value);
                match kept {
                    Some(kept) => self.unread.used(one.operator(), &kept, result),
                    None => result,
                }
            }
            Source::Integers(arithmetic, sources) => self.integers(*arithmetic, sources, element),
            Source::Floats(arithmetic, sources) => {
                let step = |sum, next| numbers::float_of(*arithmetic, sum, next);
                let sum = self.folded((sources, element), arithmetic.floats(), numbers::float, step);
                sum.filter(|sum| sum.is_finite()).map(Value::Float)
            }
        }
    }

    fn integers(
        &self,
        arithmetic: Arithmetic,
        sources: &'e [Source],
        element: Option<&Value<'e>>,
    ) -> Option<Value<'e>> {
        let step = |sum, next| numbers::int_of(arithmetic, sum, next);
        let sum = self.folded((sources, element), arithmetic.integers(), |value| self.int(value), step);
        sum.map(Value::of_int)
    }

    /// The numbers of sources, put together one after the other.
    fn folded<T: Copy>(
        &self,
        (sources, element): (&'e [Source], Option<&Value<'e>>),
        operator: Operator,
        read: impl Fn(&Value<'_>) -> Option<T>,
        step: impl Fn(T, T) -> Option<T>,
    ) -> Option<T> {
        let mut all = None;
        for source in sources {
            let value = self.eval(source, element)?;
            let next = read(&value);
            let result = match all {
                None => next,
                Some(all) => next.and_then(|next| step(all, next)),
            };
            all = Some(self.unread.used(operator, &value, result)?);
        }
        all
    }

    /// The value as a whole number: its fraction is dropped.
    fn int(&self, value: &Value<'_>) -> Option<i128> {
        if let Value::Int(int) = value {
            return Some(i128::from(*int));
        }
        let decimal = value.decimal()?;
        if decimal.has_fraction() {
            self.fractions_dropped.set(true);
        }
        decimal.cut()
    }

    fn one(&self, one: One, value: Value<'e>) -> Option<Value<'e>> {
        match one {
            One::ParseJson => {
                let text = match value {
                    Value::Text(text) => text,
                    other => Cow::Owned(other.text()?.into_owned()),
                };
                self.spend(text.len())?;
                Value::of_json(text)
            }
            One::Typeof => Some(Value::Text(structure::type_of(&value).into())),
            One::IsoTimeToMs => times::ms_of_iso(&value.text()?),
            One::MsToIsoTime => times::iso_of(UnixMillis(i64::try_from(numbers::int(&value)?).ok()?)),
            One::Int96TimeToMs => times::ms_of_int96(&value.text()?),
            One::Lowercase => {
                let lower = value.text()?.to_lowercase();
                self.spent(Value::Text(lower.into()))
            }
            One::Not => Some(Value::Bool(!value.is_true())),
            One::Round => value.decimal()?.rounded().map(Value::of_int),
        }
    }

    /// Whether a condition is true. A condition without a value is not.
    fn is_true(&self, source: &'e Source, element: Option<&Value<'e>>) -> bool {
        let before = self.unread.len();
        let is_true = self.eval(source, element).is_some_and(|value| value.is_true());
        // What a condition cannot read makes it false, which is its value.
        self.unread.forget(before, self.unread.len());
        is_true
    }

    /// The JSON text of an object or list.
    fn made_json(&self, source: &'e Source, element: Option<&Value<'e>>) -> Option<Cow<'e, str>> {
        let mut out = Vec::new();
        self.write_in(source, element, &mut out);
        // Everything that is written is UTF-8.
        String::from_utf8(out).ok().map(Cow::Owned)
    }

    /// A value that an operator makes in at most the bytes that the row may still have.
    fn bounded<'v>(
        &self,
        make: impl FnOnce(usize) -> Option<Result<Value<'v>, texts::TooLong>>,
    ) -> Option<Value<'v>> {
        match make(ROW_BYTES_MAX.saturating_sub(self.made.get()))? {
            Ok(value) => self.spent(value),
            Err(texts::TooLong) => self.spend(ROW_BYTES_MAX + 1).and(None),
        }
    }

    /// A value that an operator made, if the row may still have it.
    fn spent<'v>(&self, value: Value<'v>) -> Option<Value<'v>> {
        self.spend(value.len())?;
        Some(value)
    }
}

/// A member of an object, or the element of a list with this index.
fn part_of<'e>(element: &Value<'e>, name: &str) -> Option<Value<'e>> {
    match element {
        Value::Object(object) => value::member(object, name),
        Value::List(list) if name.bytes().all(|byte| byte.is_ascii_digit()) => {
            value::element(list, name.parse().ok()?)
        }
        _ => None,
    }
}
