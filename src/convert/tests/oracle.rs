//! A plain and slow interpreter of sources as typed, on trees: the compiled ones must agree with it.

use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::{NOW, value_of};

/// The value of a source on a row or, within a path, on the present element.
fn eval(source: &Json, row: &Map<String, Json>, element: Option<&Json>) -> Option<Json> {
    let of = |source: &Json| eval(source, row, element);
    let list = match source {
        Json::String(name) => {
            return match element {
                None => row.get(name).cloned(),
                Some(Json::Object(members)) => members.get(name).cloned(),
                Some(Json::Array(list)) => list.get(name.parse::<usize>().ok()?).cloned(),
                Some(_) => None,
            };
        }
        Json::Object(members) => {
            let made = members.iter().filter_map(|(name, source)| Some((name.clone(), of(source)?)));
            return Some(Json::Object(made.collect()));
        }
        Json::Array(list) => list,
        other => panic!("no source: {other}"),
    };
    let (name, args) = (list[0].as_str().unwrap(), &list[1..]);
    let text = |index: usize| match of(&args[index])? {
        Json::String(text) => Some(text),
        _ => None,
    };
    let raw = |index: usize| args[index].as_str().unwrap();
    let ints = || args.iter().map(|source| int(&of(source)?)).collect::<Option<Vec<i128>>>();
    let floats = || args.iter().map(|source| float(&of(source)?)).collect::<Option<Vec<f64>>>();
    Some(match name {
        "path" => {
            let mut value = of(&args[0])?;
            for source in &args[1..] {
                value = eval(source, row, Some(&value))?;
            }
            value
        }
        "any" => args.iter().find_map(of)?,
        "value" | "bool" | "int" => args[0].clone(),
        "dict" => {
            let mut made = Map::new();
            for pair in args.chunks(2) {
                let name = pair[0].as_str().unwrap();
                // Of equal names the last counts, also without a value.
                made.remove(name);
                if let Some(value) = of(&pair[1]) {
                    made.insert(name.to_owned(), value);
                }
            }
            Json::Object(made)
        }
        "array" => Json::Array(args.iter().filter_map(of).collect()),
        "merge_dicts" => {
            let mut all = None::<Map<String, Json>>;
            for value in args.iter().filter_map(of) {
                if let Json::Object(members) = value {
                    all.get_or_insert_default().extend(members);
                }
            }
            Json::Object(all?)
        }
        "flatten_dict" => {
            let levels = int(&of(&args[1])?)?;
            let Json::Object(members) = of(&args[2])? else { return None };
            let mut all = Map::new();
            flatten(&members, raw(0), levels, None, &mut all);
            Json::Object(all)
        }
        "exclude_keys" => {
            let Json::Object(mut members) = of(&args[0])? else { return None };
            (1..args.len()).for_each(|index| {
                members.remove(raw(index));
            });
            Json::Object(members)
        }
        "parse_json_element" => serde_json::from_str(&text(0)?).ok()?,
        "typeof" => Json::from(type_of(&of(&args[0])?)),
        "condition" => {
            let chosen = args.chunks(2).find(|pair| of(&pair[0]).is_some_and(|value| truth(&value)))?;
            of(&chosen[1])?
        }
        "ifelse" => of(&args[if of(&args[0]).is_some_and(|value| truth(&value)) { 1 } else { 2 }])?,
        "sample_md5" => {
            use md5::Digest as _;
            let percent = float(&of(&args[0])?)?;
            let hash = md5::Md5::digest(said(&of(&args[1])?)?.as_bytes());
            let first = hash.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
            json!(((first % 100) as f64) < percent)
        }
        "iso_time_now" => json!("2024-03-01T12:00:00.250Z"),
        "ms_time_now" => json!(NOW.0),
        "concat" => {
            let parts: Option<Vec<String>> = args.iter().map(|source| said(&of(source)?)).collect();
            Json::from(parts?.concat())
        }
        "replace_with" => Json::from(text(2)?.replace(raw(0), raw(1))),
        "split" => Json::Array(text(1)?.split(raw(0)).map(Json::from).collect()),
        "lowercase" => Json::from(text(0)?.to_lowercase()),
        "not" => json!(!truth(&of(&args[0])?)),
        "and" => {
            for source in args {
                if !truth(&of(source)?) {
                    return Some(json!(false));
                }
            }
            json!(true)
        }
        "or" => {
            for source in args {
                if truth(&of(source)?) {
                    return Some(json!(true));
                }
            }
            json!(false)
        }
        "equals" => json!(equal(&of(&args[0])?, &of(&args[1])?)),
        "contains" => match of(&args[1])? {
            Json::Array(list) => json!(list.iter().any(|element| element.as_str() == Some(raw(0)))),
            other => json!(said(&other).is_some_and(|text| text.contains(raw(0)))),
        },
        "round" => {
            let number = float(&of(&args[0])?)?;
            number_of(whole((number + 0.5).floor()))
        }
        "add" => number_of(ints()?.into_iter().sum()),
        "multiply" => number_of(ints()?.into_iter().try_fold(1_i128, i128::checked_mul)?),
        "subtract" => ints().map(|ints| number_of(ints[0] - ints[1]))?,
        "divide" => number_of(ints().and_then(|ints| ints[0].checked_div(ints[1]))?),
        "addf" => json!(floats()?.into_iter().reduce(|sum, next| sum + next)?),
        "multiplyf" => json!(floats()?.into_iter().reduce(|product, next| product * next)?),
        "subtractf" => floats().map(|floats| json!(floats[0] - floats[1]))?,
        "dividef" => {
            let floats = floats()?;
            if floats[1] == 0.0 {
                return None;
            }
            json!(floats[0] / floats[1])
        }
        other => panic!("{other}"),
    })
}

fn flatten(
    members: &Map<String, Json>,
    separator: &str,
    levels: i128,
    prefix: Option<&str>,
    all: &mut Map<String, Json>,
) {
    for (name, value) in members {
        let name = prefix.map_or(name.clone(), |prefix| format!("{prefix}{separator}{name}"));
        match value {
            Json::Object(inner) if levels != 0 && !inner.is_empty() => {
                flatten(inner, separator, levels - 1, Some(&name), all);
            }
            other => {
                all.insert(name, other.clone());
            }
        }
    }
}

fn type_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "bool",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "list",
        Json::Object(_) => "dict",
    }
}

fn truth(value: &Json) -> bool {
    match value {
        Json::Bool(value) => *value,
        Json::String(text) => text.to_lowercase() == "true",
        _ => false,
    }
}

fn said(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Bool(_) | Json::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

fn float(value: &Json) -> Option<f64> {
    match value {
        Json::Null => Some(0.0),
        Json::Number(number) => number.as_f64(),
        Json::String(text) => {
            let is_number = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
            let text = text.trim_ascii();
            text.parse().ok().filter(|_| text.chars().all(is_number))
        }
        _ => None,
    }
}

fn int(value: &Json) -> Option<i128> {
    match value.as_i64() {
        Some(int) => Some(i128::from(int)),
        None => float(value).map(|float| whole(float.trunc())),
    }
}

fn whole(float: f64) -> i128 {
    format!("{float:.0}").parse().unwrap()
}

/// The numbers of the test are too small for this to lose digits.
fn number_of(int: i128) -> Json {
    serde_json::from_str(&int.to_string()).unwrap()
}

fn equal(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => one.as_f64() == other.as_f64(),
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Json::Object(one), Json::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| equal(one, other)))
        }
        _ => one == other,
    }
}

/// Texts that meet each other, numbers, and words with a meaning.
fn any_text() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "", "a", "b", "ab", "A b,c", "é\"\\\n", "true", "False", "5", "-2.5", " 7 ", "1e2", "null",
        "{\"a\":[1,\"x\"]}", "[0.25]", "0", "1", "2",
    ])
    .prop_map(str::to_owned)
}

fn any_number() -> impl Strategy<Value = Json> {
    prop_oneof![
        (-20_i64..20).prop_map(Json::from),
        (-80_i64..80).prop_map(|quarters| json!(quarters as f64 / 4.0)),
    ]
}

fn any_value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any_number(),
        any_text().prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map(any_name(), inner, 0..4)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

fn any_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "a_b", "0", "1", "é\"", ""]).prop_map(str::to_owned)
}

fn any_source() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        4 => any_name().prop_map(Json::from),
        2 => any_value().prop_map(|value| json!(["value", value])),
        1 => any::<bool>().prop_map(|value| json!(["bool", value])),
        1 => (-5_i64..5).prop_map(|value| json!(["int", value])),
        1 => Just(json!(["iso_time_now"])),
        1 => Just(json!(["ms_time_now"])),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let list = |name: &'static str, args: Vec<Json>| Json::Array([vec![Json::from(name)], args].concat());
        let some = prop::collection::vec(inner.clone(), 1..4);
        let several = (
            prop::sample::select(vec![
                "path", "any", "array", "merge_dicts", "concat", "and", "or", "add", "multiply", "addf",
                "multiplyf",
            ]),
            some,
        );
        let two =
            prop::sample::select(vec!["equals", "subtract", "divide", "subtractf", "dividef", "sample_md5"]);
        let one = prop::sample::select(vec!["parse_json_element", "typeof", "lowercase", "not", "round"]);
        let pairs = || prop::collection::vec((inner.clone(), inner.clone()), 1..3);
        let of_text = prop::sample::select(vec![json!(["contains", "a"]), json!(["split", ","])]);
        prop_oneof![
            4 => several.prop_map(move |(name, args)| list(name, args)),
            2 => (two, inner.clone(), inner.clone()).prop_map(move |(name, a, b)| list(name, vec![a, b])),
            2 => (one, inner.clone()).prop_map(move |(name, a)| list(name, vec![a])),
            1 => pairs().prop_map(move |pairs| {
                list("condition", pairs.into_iter().flat_map(|(a, b)| [a, b]).collect())
            }),
            1 => (inner.clone(), inner.clone(), inner.clone())
                .prop_map(move |(a, b, c)| list("ifelse", vec![a, b, c])),
            1 => prop::collection::vec((any_name(), inner.clone()), 0..4).prop_map(move |pairs| {
                list("dict", pairs.into_iter().flat_map(|(name, a)| [Json::from(name), a]).collect())
            }),
            1 => prop::collection::btree_map(any_name(), inner.clone(), 0..4)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
            1 => (inner.clone(), inner.clone())
                .prop_map(move |(levels, a)| list("flatten_dict", vec![json!("_"), levels, a])),
            1 => (inner.clone(), any_name(), any_name())
                .prop_map(move |(a, one, other)| list("exclude_keys", vec![a, json!(one), json!(other)])),
            1 => (of_text, inner.clone()).prop_map(|(mut begun, a)| {
                begun.as_array_mut().unwrap().push(a);
                begun
            }),
            1 => inner.prop_map(move |a| list("replace_with", vec![json!("a"), json!("[x]"), a])),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn compiled_sources_agree_with_the_plain_interpreter(
        source in any_source(),
        row in prop::collection::btree_map(any_name(), any_value(), 0..6),
    ) {
        let row: Map<String, Json> = row.into_iter().collect();
        // Both are read from text: of floats, this parser gives the nearest but one at times.
        let read = |text: &str| serde_json::from_str::<Json>(text).unwrap();
        let expected = eval(&source, &row, None).map(|value| read(&value.to_string()));
        let line = serde_json::to_string(&Json::Object(row)).unwrap();
        let found = value_of(&source.to_string(), &line).map(|text| read(&text));
        prop_assert_eq!(found, expected, "{} on {}", source, line);
    }
}
