//! A converter: its file, compiled for one data type and strategy.

use super::columns::Columns;
use super::compile::Compiler;
use super::context::ContextPlan;
use super::evaluate::{Evaluation, ROW_BYTES_MAX};
use super::field::{DataType, Field, Strategy};
use super::fields::{FieldSources, Fields};
use super::file::{ConverterFile, FIELDS_AT, FLAG_AT};
use super::node::Node;
use super::outcome::{Calls, Outcome, RowReject};
use super::place::RowPlace;
use super::problem::{ConvertError, Problem, Problems, shown};
use super::row::Row;
use super::row_calls::RowCalls;
use super::source::Source;
use super::unread::Unread;
use crate::time::UnixMillis;
use crate::words::nearest;

/// The fields of a row as a person looks at them. Fields that are not used are not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowFields {
    /// Their names, and their values as JSON.
    pub values: Vec<(&'static str, Option<String>)>,
    /// Whether an operator of whole numbers dropped a fraction.
    pub has_dropped_fractions: bool,
    /// The values that operators could not use, so that something is left out. Not those of the time: a row
    /// with such a time is rejected.
    pub unread: Vec<Unread>,
}

/// Turns rows into calls.
#[derive(Clone, Debug)]
pub struct Converter {
    file: ConverterFile,
    data_type: DataType,
    strategy: Strategy,
    columns: Columns,
    sources: FieldSources,
    /// Whether a row is to be skipped.
    ignore: Option<Source>,
    context: ContextPlan,
    unused: Vec<String>,
    max_event: usize,
}

impl Converter {
    /// Reads and compiles a converter file. `max_event` is the longest call, in bytes of JSON.
    /// Errors: [`ConvertError`]: all problems of the file, and the strategy if the data type does not support
    /// it.
    pub fn load(
        text: &[u8],
        data_type: DataType,
        strategy: Strategy,
        max_event: usize,
    ) -> Result<Self, ConvertError> {
        let mut problems = Problems::default();
        let read = ConverterFile::read(text, &mut problems).map(|(file, fields)| {
            Self::compile(file, &fields, (data_type, strategy), max_event, &mut problems)
        });
        let checked = problems.checked(read);
        match (data_type.check(strategy), checked) {
            (Ok(()), checked) => checked,
            (Err(error), checked) => {
                let what = error.to_string();
                let mut all = vec![Problem { code: "E-STRATEGY", pointer: String::new(), what }];
                all.extend(checked.err().into_iter().flat_map(|ConvertError(found)| found));
                Err(ConvertError(all))
            }
        }
    }

    fn compile(
        file: ConverterFile,
        fields: &[(String, Node)],
        (data_type, strategy): (DataType, Strategy),
        max_event: usize,
        problems: &mut Problems,
    ) -> Self {
        FIELDS_AT.iter().for_each(|part| problems.enter(part));
        let mut sources = FieldSources([const { None }; Field::ALL.len()]);
        let mut unused = Vec::new();
        let mut ignore = None;
        let mut compiler = Compiler::new(problems);
        for (name, node) in fields {
            let is_flag = file.ignore_flag.as_ref() == Some(name);
            let field = Field::of(name).filter(|field| field.is_used(data_type, strategy));
            if field.is_none() && !is_flag {
                // The source is checked like the others, and the columns that it names are not read.
                unused.push(name.clone());
                let columns = std::mem::take(&mut compiler.columns);
                compiler.field(name, node);
                compiler.columns = columns;
                continue;
            }
            let source = compiler.field(name, node);
            if is_flag {
                ignore = Some(source.clone());
            }
            if let Some(place) = field.and_then(|field| sources.0.get_mut(field as usize)) {
                *place = Some(source);
            }
        }
        let columns = compiler.columns;
        for needed in data_type.needs(strategy) {
            if !needed.iter().any(|field| sources.get(*field).is_some()) {
                let names: Vec<&str> = needed.iter().map(|field| field.name()).collect();
                let near = unused.iter().find_map(|field| {
                    let near = nearest(field, names.iter().copied())?;
                    Some(format!(" ({} is no field: did you mean {near:?}?)", shown(field)))
                });
                let (names, near) = (names.join(" or "), near.unwrap_or_default());
                problems.add(format!("no row can become a call without {names}: add that field{near}"));
            }
        }
        FIELDS_AT.iter().for_each(|_| problems.leave());
        // Without its field it does nothing, which is said. One that is nearly a field was mistyped.
        if let Some(flag) = file.ignore_flag.as_ref().filter(|_| ignore.is_none())
            && let Some(near) = nearest(flag, unused.iter().map(String::as_str))
        {
            let what = format!("unknown field {} (did you mean {near:?}?)", shown(flag));
            FLAG_AT.iter().for_each(|part| problems.enter(part));
            problems.add(what);
            FLAG_AT.iter().for_each(|_| problems.leave());
        }
        let context = ContextPlan::new(|field| sources.get(field).is_some());
        Self { file, data_type, strategy, columns, sources, ignore, context, unused, max_event }
    }

    /// What the file says beside its fields.
    pub fn file(&self) -> &ConverterFile {
        &self.file
    }

    /// What the rows are.
    pub fn data_type(&self) -> DataType {
        self.data_type
    }

    /// What new rows do to earlier ones.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The columns that a row must have for [`Converter::convert`].
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Whether the calls have this field.
    pub fn reads(&self, field: Field) -> bool {
        self.sources.get(field).is_some()
    }

    /// The fields of the converter that have no place in the calls of this data type and strategy, in the
    /// order of the file.
    pub fn unused_fields(&self) -> &[String] {
        &self.unused
    }

    /// The field that `ignoreEventFlag` names, if the converter does not have it: no row is skipped then.
    pub fn missing_flag(&self) -> Option<&str> {
        self.file.ignore_flag.as_deref().filter(|_| self.ignore.is_none())
    }

    /// Appends the calls of a row to `calls`; it has been read for the converter's columns. `now` is for
    /// operators that ask for the time. A row that is rejected appends nothing.
    pub fn convert(
        &self,
        row: &Row<'_>,
        place: &RowPlace<'_>,
        now: UnixMillis,
        calls: &mut Calls,
    ) -> Outcome {
        let evaluation = Evaluation::new(row, now);
        let is_ignored = |source| evaluation.value(source).is_some_and(|value| value.is_true());
        if self.ignore.as_ref().is_some_and(is_ignored) {
            return Outcome::Skipped;
        }
        let count = calls.len();
        let fields = Fields { evaluation: &evaluation, sources: &self.sources };
        let mut writer = RowCalls {
            fields,
            context: &self.context,
            strategy: self.strategy,
            place,
            max_event: self.max_event,
            bytes_max: calls.bytes().saturating_add(ROW_BYTES_MAX),
            calls,
        };
        let written = writer.write(self.data_type);
        let written = if evaluation.is_too_large() { Err(too_large()) } else { written };
        match written {
            Ok(key) => Outcome::Calls { count: calls.len() - count, key },
            Err(reject) => {
                calls.truncate(count);
                Outcome::Rejected(reject)
            }
        }
    }

    /// The fields of a row, for a person.
    pub fn fields_of(&self, row: &Row<'_>, now: UnixMillis) -> RowFields {
        let evaluation = Evaluation::new(row, now);
        let mut fields = RowFields::default();
        for field in Field::ALL {
            let Some(source) = self.sources.get(field) else { continue };
            let mut json = Vec::new();
            let (has_value, unread) = evaluation.write_and_unread(source, &mut json);
            let json = has_value.then(|| String::from_utf8_lossy(&json).into_owned());
            fields.values.push((field.name(), json));
            if field != Field::Time {
                fields.unread.extend(unread);
            }
        }
        fields.has_dropped_fractions = evaluation.has_dropped_fractions();
        fields
    }
}

fn too_large() -> RowReject {
    let what = "the values that the converter makes of the row have more than 1 MiB".to_owned();
    RowReject::new("too-large", what)
}
