//! From the bytes of a CSV text to calls, and on to lines: what an import spends on a row before the spool.
//!
//! For comparison, over the same bytes: the `csv` crate reading records and doing nothing with them, and the
//! naive way (a map of values per row, serialised). All stages take turns, and each figure is a median of
//! ratios within one round. `cargo bench --bench csv_rows`; `-- --rows 1000000 --rounds 9`.

#![allow(clippy::print_stdout, reason = "a bench prints its result")]

use std::fmt::Write as _;
use std::hint::black_box;

use forebay::call::{CallKind, ClientLibraries, Fingerprinter, Limits, Request, Shape, Stamp};
use forebay::import::csv::{CsvOptions, Dialect, FileType, Item, MessageIds, Plan, Record, Records, Types};
use forebay::log::{RequestFrames, frame};
use forebay::object::gzip::GzipLines;
use forebay::random::Random;
use forebay::runtime::SystemClock;
use forebay::sources::SourceId;
use forebay::time::{Clock as _, UnixMillis};

/// Rows of a step, as the importer makes them.
const STEP_ROWS: usize = 1_000;
/// The columns of the documented example.
const HEADER: &str =
    "userId,name,event,properties.plan,properties.accountType,context.ip,context.device.id,timestamp\n";

#[derive(Debug)]
struct Fixed;

impl Random for Fixed {
    fn next_u64(&self) -> u64 {
        7
    }
}

fn table(rows: u64) -> String {
    let mut text = HEADER.to_owned();
    for row in 0..rows {
        writeln!(
            text,
            "{row},Tyler Ortiz {row},test event,{},Facebook,175.154.{}.{},{row},2019-05-{:02}T20:{:02}:27.940Z",
            match row % 3 {
                0 => "bronze",
                1 => "silver",
                _ => "gold",
            },
            row / 256 % 256,
            row % 256,
            row % 28 + 1,
            row % 60,
        )
        .expect("memory");
    }
    text
}

fn raw(text: &[u8]) -> u64 {
    let mut reader = csv::ReaderBuilder::new().from_reader(text);
    let mut record = csv::ByteRecord::new();
    let mut fields = 0;
    while reader.read_byte_record(&mut record).expect("a table") {
        fields += record.len() as u64;
    }
    fields
}

fn plan(header: &Record, types: Types) -> Plan {
    let options = CsvOptions { types, ..CsvOptions::default() };
    let ids = MessageIds::Position("imp_abcdefghijklmnopqrstuvwxyz_".to_owned());
    Plan::compile(header, &FileType::Calls(CallKind::Track), &options, &ids).expect("a header").0
}

/// Makes envelopes of calls, and passes each to `step`.
fn calls(text: &[u8], types: Types, mut step: impl FnMut(&[u8])) {
    let mut records = Records::new(text, Dialect::default());
    let mut record = Record::default();
    records.read_header(&mut record).expect("a table");
    let plan = plan(&record, types);
    let mut envelope = Vec::new();
    let mut rows = 0;
    while let Some(item) = records.read(&mut record).expect("a table") {
        assert_eq!(item, Item::Record);
        envelope.extend_from_slice(if rows == 0 { b"{\"batch\":[" } else { b"," });
        plan.write(&record, &mut envelope).expect("a call");
        rows += 1;
        if rows == STEP_ROWS {
            envelope.extend_from_slice(b"]}");
            step(&envelope);
            envelope.clear();
            rows = 0;
        }
    }
}

fn lines(text: &[u8], mut step: impl FnMut(&RequestFrames)) {
    let source = SourceId::new("csv").expect("a legal id");
    let fingerprinter = Fingerprinter::new([9; 16]);
    let received_at = UnixMillis(1_795_156_200_123);
    calls(text, Types::String, |envelope| {
        let limits = Limits::default();
        let request = Request::parse(envelope, Shape::Envelope, &limits).expect("a valid body");
        let stamp = Stamp {
            received_at,
            source: &source,
            ip: None,
            client_side: false,
            user_agent: None,
            client_libraries: ClientLibraries::usual(),
            fingerprinter: &fingerprinter,
        };
        let mut frames =
            RequestFrames::new(source.clone(), received_at, request.lines_len() + 200 * STEP_ROWS);
        request.write_lines(&stamp, &Fixed, &mut frames);
        step(&frames);
    });
}

/// A map of values for each row, as a program would write it at first.
fn naive(text: &[u8]) {
    let mut reader = csv::ReaderBuilder::new().from_reader(text);
    let header: Vec<String> = reader.headers().expect("a header").iter().map(str::to_owned).collect();
    for record in reader.records() {
        let record = record.expect("a table");
        let mut call = serde_json::Map::new();
        for (name, cell) in header.iter().zip(&record) {
            let mut place = &mut call;
            let mut parts = name.split('.').peekable();
            while let Some(part) = parts.next() {
                if parts.peek().is_none() {
                    place.insert(part.to_owned(), cell.into());
                    break;
                }
                let inner =
                    place.entry(part).or_insert_with(|| serde_json::Value::Object(serde_json::Map::new()));
                place = inner.as_object_mut().expect("an object");
            }
        }
        black_box(serde_json::to_vec(&call).expect("JSON"));
    }
}

fn gzip(text: &[u8]) -> u64 {
    let mut gzip = GzipLines::new(Vec::new(), 6, u64::MAX);
    lines(text, |frames| {
        let mut rest = frames.bytes();
        while let Some((one, behind)) = frame::length(rest).and_then(|len| rest.split_at_checked(len)) {
            gzip.push(frame::fields(one).expect("a frame").payload).expect("memory");
            rest = behind;
        }
    });
    gzip.finish().expect("memory").out.len() as u64
}

fn median(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
    (at(figures.len() / 2), at(0), at(figures.len() - 1))
}

fn argument(name: &str, default: u64) -> u64 {
    let mut arguments = std::env::args();
    while let Some(argument) = arguments.next() {
        if argument == name {
            return arguments.next().and_then(|value| value.parse().ok()).expect("a number");
        }
    }
    default
}

/// One stage over the whole table.
type Stage<'t> = Box<dyn Fn() + 't>;

fn main() {
    let (rows, rounds) = (argument("--rows", 200_000), argument("--rounds", 9));
    let text = table(rows);
    let text = text.as_bytes();
    let stages: [(&str, Stage<'_>); 6] = [
        (
            "csv crate: records, nothing done",
            Box::new(|| {
                black_box(raw(text));
            }),
        ),
        (
            "calls",
            Box::new(|| {
                calls(text, Types::String, |step| {
                    black_box(step);
                })
            }),
        ),
        (
            "calls, types inferred",
            Box::new(|| {
                calls(text, Types::Infer, |step| {
                    black_box(step);
                })
            }),
        ),
        (
            "calls and lines",
            Box::new(|| {
                lines(text, |step| {
                    black_box(step.bytes());
                })
            }),
        ),
        (
            "calls, lines and gzip",
            Box::new(|| {
                black_box(gzip(text));
            }),
        ),
        ("a map for each row", Box::new(|| naive(text))),
    ];
    let clock = SystemClock::new();
    let mut seconds: Vec<Vec<f64>> = vec![Vec::new(); stages.len()];
    for _ in 0..rounds {
        for ((_, stage), seconds) in stages.iter().zip(&mut seconds) {
            let began = clock.monotonic();
            stage();
            seconds.push((clock.monotonic() - began).as_secs_f64());
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (rows, bytes) = (rows as f64, text.len() as f64);
    println!("{rows} rows of {:.0} bytes, {rounds} rounds", bytes / rows);
    println!("{:36} {:>12} {:>8}   speed / csv crate (least to most)", "", "rows/s", "MB/s");
    let first = seconds.first().cloned().unwrap_or_default();
    for ((name, _), seconds) in stages.iter().zip(&seconds) {
        let ratios = first.iter().zip(seconds).map(|(raw, seconds)| raw / seconds).collect();
        let (ratio, least, most) = median(ratios);
        let (time, ..) = median(seconds.clone());
        println!(
            "{name:36} {:>12.0} {:>8.0}   {ratio:.3} ({least:.3} to {most:.3})",
            rows / time,
            bytes / time / 1e6
        );
    }
}
