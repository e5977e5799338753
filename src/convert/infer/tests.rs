use super::*;
use crate::convert::file::{Compression, FileFormat};
use crate::convert::{Calls, Outcome, Row, RowPlace, Strategy};
use crate::time::UnixMillis;

const MAX: usize = 32 * 1_024;

fn observed(rows: &[&str]) -> Observed {
    let mut observed = Observed::default();
    rows.iter().for_each(|row| observed.add_json(row).unwrap());
    observed
}

fn json_sample(name: &str) -> SampleOf<'_> {
    let (format, compression) = (FileFormat::Json, Compression::Gzip);
    SampleOf { name: Some(name), format, compression, delimiter: None }
}

fn inferred(rows: &[&str], data_type: DataType) -> Result<Inferred, CannotInfer> {
    infer(
        &json_sample("orders_2024-03-01.json.gz"),
        &observed(rows),
        data_type,
        &NamedColumns::default(),
        MAX,
    )
}

/// The fields of a converter that was made, on one line.
fn fields(rows: &[&str], data_type: DataType) -> String {
    let inferred = inferred(rows, data_type).unwrap();
    let found = Node::read(&inferred.text).unwrap();
    let member = |node: &Node, name: &str| match node {
        Node::Object(members) => members.iter().find(|(of, _)| of == name).unwrap().1.clone(),
        _ => panic!(),
    };
    // Each row of the sample becomes calls.
    for row in rows {
        let mut read = Row::new(inferred.converter.columns());
        read.read_json(inferred.converter.columns(), row).unwrap();
        let place = RowPlace { id_prefix: "imp_k_", sequence_prefix: "0/k", row: 0 };
        let outcome = inferred.converter.convert(&read, &place, UnixMillis(0), &mut Calls::default());
        assert!(matches!(outcome, Outcome::Calls { .. }), "{row}: {outcome:?}");
    }
    member(&member(&found, "converterConfig"), "convertToAmplitudeFunc").json()
}

#[test]
fn a_converter_is_written_as_a_person_would() {
    let rows = [
        r#"{"action":"buy","userId":"ann","at":"2024-03-01 12:00:00","total":19.90,"cart":{"n":1}}"#,
        r#"{"action":"look","userId":"bob","at":"2024-03-01 12:00:01","total":null,"tags":[1]}"#,
    ];
    let inferred = inferred(&rows, DataType::Event).unwrap();
    assert_eq!(
        inferred.text,
        r#"{
  "converterConfig": {
    "fileType": "json",
    "compressionType": "gzip",
    "convertToAmplitudeFunc": {
      "event_type": "action",
      "user_id": "userId",
      "time": ["iso_time_to_ms","at"],
      "event_properties": {"total":"total","cart":"cart","tags":"tags"}
    }
  },
  "keyValidatorConfig": {
    "filterPattern": "(.*/)?orders_\\d{4}-\\d{2}-\\d{2}\\.json\\.gz"
  }
}
"#
    );
    assert!(inferred.converter.unused_fields().is_empty());
    assert_eq!(inferred.notes.len(), 1, "{:?}", inferred.notes);
    assert!(inferred.notes[0].starts_with("no insert_id: "), "{:?}", inferred.notes);
}

#[test]
fn columns_become_fields_only_if_their_values_fit() {
    let check = |row: &str, data_type: DataType, expected: &str| {
        assert_eq!(fields(&[row], data_type), expected, "{row}");
    };
    check(
        r#"{"event":"e","user_id":1,"timestamp":1709294400,"price":"7.90","quantity":"many","plan":"pro"}"#,
        DataType::Event,
        r#"{"event_type":"event","user_id":"user_id","time":["multiply","timestamp",["int",1000]],"event_properties":{"quantity":"quantity","plan":"plan"},"price":"price"}"#,
    );
    check(
        r#"{"event":{"a":1},"event_name":"e","uid":"u","anonymousId":"d","time":"soon","ts":1709294400250}"#,
        DataType::Event,
        r#"{"event_type":"event_name","user_id":"uid","device_id":"anonymousId","time":"ts","event_properties":{"event":"event","time":"time"}}"#,
    );
    check(
        r#"{"event":"e","user_id":"u","time":1709294400.5,"properties":{"a":1},"properties.b":2,"traits.c":3,"d":4}"#,
        DataType::Event,
        r#"{"event_type":"event","user_id":"user_id","time":["round",["multiplyf","time",["int",1000]]],"event_properties":["merge_dicts","properties",{"b":"properties.b","d":"d"}],"user_properties":{"c":"traits.c"}}"#,
    );
    check(
        r#"{"event":"e","user_id":"u","event_properties":"{\"a\":1}"}"#,
        DataType::Event,
        r#"{"event_type":"event","user_id":"user_id","event_properties":["parse_json_element","event_properties"]}"#,
    );
    check(
        r#"{"user_id":"u","event":"e","plan":"pro","country":"DE"}"#,
        DataType::UserProperties,
        r#"{"user_id":"user_id","user_properties":{"event":"event","plan":"plan"},"country":"country"}"#,
    );
    check(
        r#"{"company_id":"acme","size":5}"#,
        DataType::GroupProperties,
        r#"{"groups":{"company":"company_id"},"group_properties":{"size":"size"}}"#,
    );
    check(
        r#"{"user_id":"u","mutation_type":"INSERT","name":"Ann"}"#,
        DataType::Profiles,
        r#"{"user_id":"user_id","user_properties":{"name":"name"},"mutation_type":"mutation_type"}"#,
    );
    check(
        r#"{"user_id":"u","sku":"a"}"#,
        DataType::Event,
        r#"{"event_type":["value","orders"],"user_id":"user_id","event_properties":{"sku":"sku"}}"#,
    );
}

#[test]
fn a_null_time_does_not_reject_its_row() {
    let rows =
        [r#"{"event":"e","user_id":"u","epoch":null}"#, r#"{"event":"e","user_id":"u","epoch":1709294400}"#];
    assert!(fields(&rows, DataType::Event).contains(r#"["ifelse",["equals","epoch",["value",null]]"#));
}

#[test]
fn an_insert_id_is_proposed_if_its_values_differ() {
    let rows = |id: &dyn Fn(u32) -> String, count: u32| -> Vec<String> {
        (0..count).map(|row| format!(r#"{{"event":"e","user_id":"u","n":{row},{}}}"#, id(row))).collect()
    };
    let check = |rows: &[String], named: Option<&str>, expected: Option<&str>, note: &str| {
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let inferred =
            infer(&json_sample("a.json"), &observed(&rows), DataType::Event, &named_id(named), MAX).unwrap();
        let has = inferred.text.contains("\"insert_id\": ");
        assert_eq!(has, expected.is_some(), "{}", inferred.text);
        if let Some(column) = expected {
            assert!(inferred.text.contains(&format!("\"insert_id\": \"{column}\"")), "{}", inferred.text);
        }
        assert!(inferred.notes.iter().any(|said| said.contains(note)), "{:?}", inferred.notes);
    };
    let order = |row: u32| format!(r#""order_id":"o-{row}""#);
    check(
        &rows(&order, 10),
        None,
        Some("order_id"),
        "insert_id is the column order_id: its values differ in 10 rows;",
    );
    // Two rows say nothing about the column, and a number that counts is no id by its name.
    check(&rows(&order, 2), None, None, "no insert_id: ");
    let equal = |row: u32| format!(r#""order_id":"o-{}""#, row / 2);
    check(&rows(&equal, 10), None, None, "no insert_id: ");
    check(
        &rows(&equal, 10),
        Some("order_id"),
        Some("order_id"),
        "5 of its values in 10 rows repeat an earlier one",
    );
    check(&rows(&order, 10), Some("n"), Some("n"), "insert_id is the column n: its values differ");
    let own = |row: u32| format!(r#""messageId":"m{row}""#);
    check(
        &rows(&own, 2),
        None,
        Some("messageId"),
        "insert_id is the column messageId: its values differ in 2 rows",
    );
    // An id with a meaning stays a property; one that is only an id does not.
    let text = |rows: &[String]| {
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        infer(&json_sample("a.json"), &observed(&rows), DataType::Event, &NamedColumns::default(), MAX)
            .unwrap()
            .text
    };
    assert!(text(&rows(&order, 10)).contains(r#""order_id":"order_id""#));
    assert!(!text(&rows(&own, 10)).contains(r#""messageId":"messageId""#));
}

fn named_id(insert_id: Option<&str>) -> NamedColumns {
    NamedColumns { insert_id: insert_id.map(str::to_owned), ..NamedColumns::default() }
}

/// Without a column that is known as one of users, nothing could be made, and nobody could say which one it is.
#[test]
fn a_person_names_the_columns_of_users_and_events() {
    let rows = observed(&[r#"{"kunde":"k-1","was":"buy","n":1}"#, r#"{"kunde":"k-2","was":"look","n":2}"#]);
    let infer = |data_type: DataType, user_id: Option<&str>, event: Option<&str>| {
        let [user_id, event] = [user_id, event].map(|name| name.map(str::to_owned));
        let named = NamedColumns { user_id, event, insert_id: None };
        infer(&json_sample("a.json"), &rows, data_type, &named, MAX)
    };
    let error = infer(DataType::Event, None, None).unwrap_err().to_string();
    assert!(error.contains("name one with --user-id FIELD"), "{error}");
    let text = infer(DataType::Event, Some("kunde"), Some("was")).unwrap().text;
    for line in [r#""user_id": "kunde""#, r#""event_type": "was""#, r#""n":"n""#] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(infer(DataType::Profiles, Some("kunde"), None).is_ok());
    for (data_type, user_id, event, expected) in [
        (DataType::Event, Some("kunden"), None, "no column is named \"kunden\" (did you mean \"kunde\"?)"),
        (
            DataType::Profiles,
            Some("kunde"),
            Some("was"),
            "data type profiles does not use --event: leave it out",
        ),
        (DataType::GroupProperties, Some("kunde"), None, "data type group_properties does not use --user-id"),
    ] {
        let error = infer(data_type, user_id, event).unwrap_err();
        assert!(error.to_string().starts_with(expected) && error.is_wrong_usage(), "{error}");
    }
}

#[test]
fn what_cannot_be_inferred_is_said() {
    let check = |rows: &[&str], data_type: DataType, insert_id: Option<&str>, expected: &str| {
        let error =
            infer(&json_sample("a.json"), &observed(rows), data_type, &named_id(insert_id), MAX).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    };
    let event = r#"{"event":"e","user_id":"u","order":1}"#;
    check(&[], DataType::Event, None, "the sample has no row that can be read");
    check(&["{}"], DataType::Event, None, "the sample has no row that can be read");
    check(
        &[r#"{"event":"e","x":1}"#],
        DataType::Event,
        None,
        "no column is a user or a device (user_id, device_id): the columns are event, x; ",
    );
    check(&[r#"{"x":1}"#], DataType::Profiles, None, "no column is a user (user_id): the columns are x");
    check(&[r#"{"x":1}"#], DataType::GroupProperties, None, "no column is a group");
    check(&[r#"{"company":"a"}"#], DataType::GroupProperties, None, "no column is a property of the groups");
    check(
        &[event],
        DataType::Event,
        Some("ordr"),
        "no column is named \"ordr\" (did you mean \"order\"?): the columns are",
    );
    check(
        &[r#"{"user_id":"u"}"#],
        DataType::Profiles,
        Some("user_id"),
        "only data type event uses an insert_id",
    );
    assert_eq!(observed(&[event]).add_json("[1]").unwrap_err().code, "bad-json");
}

#[test]
fn rows_of_cells_are_observed_too() {
    let mut observed = Observed::default();
    for (user, at) in [("ann", "1709294400"), ("", ""), ("bob", "1709294401")] {
        let cells = [("User ID", user), ("event", "e"), ("ts", at), ("", "x"), ("n", "1"), ("n", "2")];
        observed.add_cells(cells.into_iter());
    }
    let sample = SampleOf {
        name: None,
        format: FileFormat::Csv,
        compression: Compression::None,
        delimiter: Some(b'\t'),
    };
    let inferred = infer(&sample, &observed, DataType::Event, &NamedColumns::default(), MAX).unwrap();
    assert!(inferred.text.contains(r#""delimiter": "\t""#), "{}", inferred.text);
    assert!(inferred.text.contains(r#""time": ["multiply","ts",["int",1000]]"#), "{}", inferred.text);
    assert!(!inferred.text.contains("filterPattern") && !inferred.text.contains("\"n\""));
    let said = |text: &str| inferred.notes.iter().any(|note| note.contains(text));
    assert!(said("two columns are named \"n\"") && said("column without a name"), "{:?}", inferred.notes);
    assert_eq!(inferred.converter.strategy(), Strategy::AppendOnly);
}

proptest::proptest! {
    /// Whatever the columns are called and hold, a converter that is made can be loaded.
    #[test]
    fn each_converter_can_be_loaded(
        names in proptest::collection::vec("[a-z_. \"\\\\$é]{0,8}|time|event|user_id|groups|plan|properties", 1..8),
        values in proptest::collection::vec(
            "null|true|1709294400|1\\.5|\"x\"|\"2024-03-01\"|\\{\"a\":1\\}|\\[1\\]|\"\\{\\}\"", 8..24),
        kind in 0..4_usize,
    ) {
        let mut observed = Observed::default();
        for row in values.chunks(names.len()) {
            let members: Vec<String> = names.iter().zip(row)
                .map(|(name, value)| format!("{}:{value}", serde_json::to_string(name).unwrap()))
                .collect();
            drop(observed.add_json(&format!("{{{}}}", members.join(","))));
        }
        let data_type = DataType::ALL[kind];
        if let Err(error) = infer(&json_sample("in/a (1).json"), &observed, data_type, &NamedColumns::default(), MAX) {
            proptest::prop_assert!(!matches!(error, CannotInfer::Unusable(_)), "{error}");
        }
    }
}
