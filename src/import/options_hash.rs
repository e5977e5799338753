//! Distinguishes the options by which rows become calls.

use encoding_rs::Encoding;
use serde_json::{Value, json};

use super::csv::{ColumnRule, CsvOptions, IdFrom, Types};
use super::discovery::row_type::{NamedKind, NamedType};
use crate::object::Collection;

/// The options by which rows become calls, as a hash of a written form. An import is continued only with the
/// same options.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OptionsHash {
    /// The hash of the form that is recorded now.
    #[serde(rename = "options")]
    now: String,
    /// The hash of the form that earlier programs recorded.
    #[serde(rename = "options_before", default, skip_serializing_if = "Option::is_none")]
    before: Option<String>,
}

/// A short name for settings, which distinguishes them from others: the first 16 hexadecimal digits of the
/// BLAKE3 hash.
pub fn short_hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().chars().take(16).collect()
}

impl OptionsHash {
    /// Hashes bytes that say everything that the options say.
    pub fn of(bytes: &[u8]) -> Self {
        Self { now: short_hash(bytes), before: None }
    }

    /// The options with a hash that was recorded.
    pub(super) fn recorded_as(hash: &str) -> Self {
        Self { now: hash.to_owned(), before: None }
    }

    /// Hashes all options that decide how the rows of CSV texts become calls.
    pub fn of_csv(named_type: &NamedType, csv: &CsvOptions, encoding: Option<&'static Encoding>) -> Self {
        Self::of(written(named_type, csv, encoding).to_string().as_bytes())
    }

    /// These options, also known by the hash that earlier programs recorded for them, if those had them all.
    #[must_use]
    pub fn and_before(self, before: Option<String>) -> Self {
        Self { before, ..self }
    }

    /// Both hashes, with something that belongs to the options only in some uses: `now` as it is written now,
    /// and `before` as earlier programs wrote it.
    #[must_use]
    pub fn with(self, now: &str, before: &str) -> Self {
        let both = |hash: &str, more: &str| short_hash(format!("{hash} {more}").as_bytes());
        Self { now: both(&self.now, now), before: self.before.map(|hash| both(&hash, before)) }
    }

    /// The hash to record.
    pub fn recorded(&self) -> &str {
        &self.now
    }

    /// Whether a hash that was recorded, by this program or an earlier one, is that of these options.
    pub fn is(&self, recorded: &str) -> bool {
        self.now == recorded || self.before.as_deref() == Some(recorded)
    }
}

/// The written form: arrays of pairs, because the members of an object have no fixed order. The hash is
/// recorded for files whose import may go on for years, so a change of any name, position or value makes them
/// unknown. Version 4 has three pairs more at its end, and is the form of options that say something there: others
/// keep that of version 3. Any further addition needs a new version in the same way.
///
/// What was found in a text is not written: the same options find the same.
fn written(named_type: &NamedType, csv: &CsvOptions, encoding: Option<&'static Encoding>) -> Value {
    let NamedType { kind, collection } = named_type;
    let CsvOptions {
        delimiter,
        keeps_blanks,
        skips_blanks,
        ends_with_delimiter: _,
        quote,
        escape,
        max_field,
        columns,
        types,
        found: _,
        rules,
        nulls,
        time_columns,
        empty,
        arrays,
        strict,
        id_from,
    } = csv;
    let kind = kind.map(|kind| match kind {
        NamedKind::Calls(kind) => kind.name(),
        NamedKind::Objects => "object",
    });
    let types = match types {
        Types::String => json!("string"),
        Types::Infer => json!("infer"),
        Types::Schema(types) => types.iter().map(|(column, of)| json!([column, of])).collect(),
    };
    let id_from = match id_from {
        IdFrom::Position => json!("position"),
        IdFrom::Column(name) => json!(["column", name]),
        IdFrom::RowHash { everywhere: false } => json!(["row hash", "file"]),
        IdFrom::RowHash { everywhere: true } => json!(["row hash", "source"]),
    };
    let is_of_version_3 = csv.are_of_earlier_programs();
    let mut written = json!([
        ["forebay csv options", if is_of_version_3 { 3 } else { 4 }],
        ["type", kind],
        ["collection", collection.as_ref().map(Collection::as_str)],
        ["delimiter", delimiter],
        ["keeps blanks", keeps_blanks],
        ["quote", quote],
        ["escape", escape],
        ["longest field", max_field],
        ["encoding", encoding.map(Encoding::name)],
        ["columns", columns],
        ["types", types],
        ["time columns", time_columns],
        ["empty", empty],
        ["arrays", arrays],
        ["strict", strict],
        ["ids", id_from],
    ]);
    if let Some(pairs) = written.as_array_mut().filter(|_| !is_of_version_3) {
        let rule_of = |(column, rule): (&String, &ColumnRule)| {
            let ColumnRule { map, date, nulls, infer } = rule;
            json!([column, map, date.as_ref().map(ToString::to_string), nulls, infer])
        };
        let rules: Value = rules.iter().map(rule_of).collect();
        pairs.extend([
            json!(["skips blanks", skips_blanks]),
            json!(["nulls", nulls]),
            json!(["columns are", rules]),
        ]);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::CallKind;
    use crate::import::csv::{Empty, FoundTypes, parse_schema};

    /// A golden text: files in journals are known by its hash.
    #[test]
    fn the_written_form_stays_as_it_is() {
        let plain = written(&NamedType::default(), &CsvOptions::default(), None).to_string();
        assert_eq!(
            plain,
            concat!(
                r#"[["forebay csv options",3],["type",null],["collection",null],["delimiter",null]"#,
                r#",["keeps blanks",false],["quote",34],["escape",null],["longest field",1048576]"#,
                r#",["encoding",null],["columns",null],["types","string"],["time columns",[]]"#,
                r#",["empty","omit"],["arrays",false],["strict",false],["ids","position"]]"#,
            )
        );
        let named_type = NamedType { kind: Some(NamedKind::Calls(CallKind::Track)), collection: None };
        let types = Types::Schema(parse_schema(r#"{"b":"unix_ms","a":"int"}"#).unwrap().types);
        let csv = CsvOptions {
            delimiter: Some(b';'),
            keeps_blanks: true,
            quote: None,
            escape: Some(b'\\'),
            max_field: 2_000_000,
            columns: Some(vec!["a \"b\"".to_owned(), "\u{f6}\u{301}\n".to_owned()]),
            types,
            time_columns: vec!["a".to_owned()],
            empty: Empty::Null,
            arrays: true,
            strict: true,
            id_from: IdFrom::Column("id".to_owned()),
            ..CsvOptions::default()
        };
        let all = written(&named_type, &csv, Some(encoding_rs::WINDOWS_1252)).to_string();
        assert_eq!(
            all,
            concat!(
                r#"[["forebay csv options",3],["type","track"],["collection",null],["delimiter",59]"#,
                r#",["keeps blanks",true],["quote",null],["escape",92],["longest field",2000000]"#,
                r#",["encoding","windows-1252"],["columns",["a \"b\"","ö́\n"]],["types",[["a","int"]"#,
                r#",["b","unix_ms"]]],["time columns",["a"]],["empty","null"],["arrays",true]"#,
                r#",["strict",true],["ids",["column","id"]]]"#,
            )
        );
        assert_eq!(
            OptionsHash::of_csv(&NamedType::default(), &CsvOptions::default(), None).recorded(),
            "81bb06e42b4f2b3f"
        );
    }

    /// A golden text, as above: what came later stands behind the rest, and only where it is said.
    #[test]
    fn what_came_later_is_written_where_it_is_said() {
        let schema = parse_schema(
            r#"{"a":"int","Datum":{"type":"d.M.yyyy Europe/Berlin","map":"timestamp","null":["-"]},"b":"infer"}"#,
        )
        .unwrap();
        let csv = CsvOptions {
            delimiter: Some(b','),
            skips_blanks: true,
            types: Types::Schema(schema.types),
            rules: schema.rules,
            nulls: vec!["\\N".to_owned(), "NA".to_owned()],
            // What was found says nothing about the options.
            ends_with_delimiter: true,
            found: Some(FoundTypes::default()),
            ..CsvOptions::default()
        };
        let all = written(&NamedType::default(), &csv, None).to_string();
        assert_eq!(
            all,
            concat!(
                r#"[["forebay csv options",4],["type",null],["collection",null],["delimiter",44]"#,
                r#",["keeps blanks",false],["quote",34],["escape",null],["longest field",1048576]"#,
                r#",["encoding",null],["columns",null],["types",[["a","int"]]],["time columns",[]]"#,
                r#",["empty","omit"],["arrays",false],["strict",false],["ids","position"]"#,
                r#",["skips blanks",true],["nulls",["\\N","NA"]],["columns are",[["Datum","timestamp","#,
                r#""DD.MM.YYYY Europe/Berlin",["-"],false],["b",null,null,[],true]]]]"#,
            )
        );
        let found = CsvOptions { ends_with_delimiter: true, found: csv.found, ..CsvOptions::default() };
        let hash = |csv: &CsvOptions| OptionsHash::of_csv(&NamedType::default(), csv, None);
        assert_eq!(hash(&found), hash(&CsvOptions::default()));
    }

    #[test]
    fn what_an_earlier_program_recorded_is_of_the_same_options() {
        let options = OptionsHash::of(b"a").and_before(Some("0123456789abcdef".to_owned()));
        assert!(options.is(OptionsHash::of(b"a").recorded()) && options.is("0123456789abcdef"));
        assert!(!options.is("") && !options.is(OptionsHash::of(b"b").recorded()));
        let more = options.clone().with("more", "more before");
        assert!(!more.is("0123456789abcdef") && !more.is(options.recorded()));
        assert!(more.is(&short_hash(b"0123456789abcdef more before")));
    }

    #[test]
    fn a_node_reads_what_earlier_commands_send() {
        let earlier: OptionsHash = serde_json::from_str(r#"{"options":"0123456789abcdef"}"#).unwrap();
        assert_eq!(earlier, OptionsHash { now: "0123456789abcdef".to_owned(), before: None });
        assert_eq!(serde_json::to_string(&earlier).unwrap(), r#"{"options":"0123456789abcdef"}"#);
    }
}
