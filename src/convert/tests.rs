use super::compile::Compiler;
use super::evaluate::Evaluation;
use super::node::Node;
use super::problem::Problems;
use super::*;
use crate::time::UnixMillis;

mod amplitude;
mod calls;
mod errors;
mod hostile;
mod operators;
mod oracle;

/// 2024-03-01T12:00:00.250Z
const NOW: UnixMillis = UnixMillis(1_709_294_400_250);

/// The value of a source on a row, both as JSON. `None` if it has none.
fn value_of(source: &str, row: &str) -> Option<String> {
    let node = Node::read(source).unwrap();
    let mut problems = Problems::default();
    let mut compiler = Compiler::new(&mut problems);
    let source = compiler.field("x", &node);
    let columns = std::mem::take(&mut compiler.columns);
    problems.checked(Some(())).unwrap();
    let mut read = Row::new(&columns);
    read.read_json(&columns, row).unwrap();
    let evaluation = Evaluation::new(&read, NOW);
    let mut out = Vec::new();
    let written = evaluation.write(&source, &mut out);
    assert_eq!(written, !out.is_empty());
    // An operator looks at the same value that is written directly.
    let mut from_value = Vec::new();
    if let Some(value) = evaluation.value(&source) {
        value.write(&mut from_value);
    }
    assert_eq!(out, from_value);
    assert!(!evaluation.is_too_large());
    written.then(|| String::from_utf8(out).unwrap())
}

/// A converter file with these fields.
fn file(fields: &str) -> String {
    format!(r#"{{"converterConfig":{{"fileType":"json","convertToAmplitudeFunc":{fields}}}}}"#)
}

fn converter(fields: &str, data_type: DataType, strategy: Strategy) -> Converter {
    Converter::load(file(fields).as_bytes(), data_type, strategy, 32 * 1_024).unwrap()
}

const PLACE: RowPlace<'static> =
    RowPlace { id_prefix: "imp_k_", sequence_prefix: "1709294400000/in/a.json", row: 7 };

/// What becomes of a row, and its calls.
fn converted(converter: &Converter, row: &str) -> (Outcome, Vec<String>) {
    let mut read = Row::new(converter.columns());
    let mut calls = Calls::default();
    if let Err(reject) = read.read_json(converter.columns(), row) {
        return (Outcome::Rejected(reject), Vec::new());
    }
    let outcome = converter.convert(&read, &PLACE, NOW, &mut calls);
    let calls = calls.iter().map(|call| String::from_utf8(call.to_vec()).unwrap()).collect();
    (outcome, calls)
}
