//! The options of CSV texts.

use std::collections::BTreeMap;

use super::FileType;
use super::column_rule::ColumnRules;
use super::dialect::{Dialect, MAX_FIELD};
use super::found_type::FoundTypes;
use super::schema::ColumnType;
use crate::import::file_id::FileId;
use crate::import::row_hash::RowScope;

/// What cells become. Times and integrations have rules of their own; ids are always strings.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Types {
    /// Strings.
    String,
    /// For each column the type that is found from its first cells. Where none was found, as in a file that an
    /// earlier program began: booleans and numbers where the text of a cell shows exactly that, else strings.
    Infer,
    /// The declared types, by the names of the columns; strings elsewhere.
    Schema(BTreeMap<String, ColumnType>),
}

/// What an empty cell becomes. An empty top-level `timestamp` is always left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Empty {
    /// Nothing: the cell is left out, and so is an object or array without any value.
    #[default]
    Omit,
    /// `""`
    String,
    /// `null`
    Null,
}

/// Where messageIds come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageIds {
    /// A `messageId` column if the cell is not blank, else the prefix `imp_<file_id>_` and the row's number.
    Position(String),
    /// The column with this name, in every row.
    Column(String),
    /// A `messageId` column if the cell is not blank, else `imp_` and the row's hash within this scope.
    RowHash(RowScope),
}

/// Where the ids of calls come from.
#[derive(Clone, Debug, PartialEq, Eq, Default, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdFrom {
    /// The file and the row's number, unless a `messageId` column has an id.
    #[default]
    Position,
    /// The column with this name.
    Column(String),
    /// The row's content, compared within a file's name or everywhere.
    RowHash {
        /// Whether rows are compared with those of all files.
        everywhere: bool,
    },
}

/// How CSV texts become calls.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct CsvOptions {
    /// The byte between two fields; `None`: the text shows it.
    pub delimiter: Option<u8>,
    /// Whether a blank after a delimiter belongs to the cell. If not, rows are rejected where that is in
    /// doubt.
    #[serde(default)]
    pub keeps_blanks: bool,
    /// Whether blanks after a delimiter belong to the delimiter.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skips_blanks: bool,
    /// Whether a delimiter ends the header and each row. It is found from the text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends_with_delimiter: bool,
    /// The byte around fields; `None`: quotes are plain text.
    pub quote: Option<u8>,
    /// The byte that takes the meaning from the next one, if any.
    pub escape: Option<u8>,
    /// The longest field, in bytes.
    pub max_field: usize,
    /// The names of the columns, if the text has no header.
    pub columns: Option<Vec<String>>,
    /// What cells become.
    pub types: Types,
    /// The types that were found, if they were asked for. Without a type for any column, the type of each
    /// cell is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<FoundTypes>,
    /// What else is said about columns, by their names.
    #[serde(default, skip_serializing_if = "ColumnRules::is_empty")]
    pub rules: ColumnRules,
    /// The texts that mean no value, in all columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nulls: Vec<String>,
    /// More columns whose cells are times: whole names, or the last parts of names.
    pub time_columns: Vec<String>,
    /// What empty cells become.
    pub empty: Empty,
    /// Whether numbered names are arrays, and columns named `x:json` hold JSON.
    pub arrays: bool,
    /// Whether calls need all that the documented tables require.
    pub strict: bool,
    /// Where the ids of calls come from.
    pub id_from: IdFrom,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: None,
            keeps_blanks: false,
            skips_blanks: false,
            ends_with_delimiter: false,
            quote: Some(b'"'),
            escape: None,
            max_field: MAX_FIELD,
            columns: None,
            types: Types::String,
            found: None,
            rules: ColumnRules::new(),
            nulls: Vec::new(),
            time_columns: Vec::new(),
            empty: Empty::Omit,
            arrays: false,
            strict: false,
            id_from: IdFrom::Position,
        }
    }
}

impl CsvOptions {
    /// The dialect of texts with this delimiter.
    pub fn dialect(&self, delimiter: u8) -> Dialect {
        let Self { quote, escape, max_field, skips_blanks, .. } = *self;
        Dialect { delimiter, quote, escape, max_field, skips_blanks }
    }

    /// Whether the options say nothing that programs did not know before version 4 of their written form.
    pub fn are_of_earlier_programs(&self) -> bool {
        !self.skips_blanks && self.rules.is_empty() && self.nulls.is_empty()
    }

    /// Whether types are to be found from the first cells of columns.
    pub(in crate::import) fn infers(&self) -> bool {
        self.found.is_none() && (self.types == Types::Infer || self.rules.values().any(|rule| rule.infer))
    }

    /// Where the messageIds of the rows of a file come from. `place` is the same for all versions of the
    /// file.
    pub(super) fn message_ids(&self, kind: &FileType, file: FileId, place: &str) -> MessageIds {
        // The scope separates types and collections: a row of a track file is not the same row of a page
        // file.
        let scope = |place: &str| RowScope::of(&format!("{kind}\0{place}"));
        match &self.id_from {
            IdFrom::Position => MessageIds::Position(format!("imp_{file}_")),
            IdFrom::Column(name) => MessageIds::Column(name.clone()),
            IdFrom::RowHash { everywhere: true } => MessageIds::RowHash(scope("")),
            IdFrom::RowHash { everywhere: false } => MessageIds::RowHash(scope(place)),
        }
    }
}
