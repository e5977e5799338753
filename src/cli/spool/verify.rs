//! `forebay spool verify`: checks every byte, and reports all damage.

use std::io::{self, Write};

use crate::cli::args::SpoolReadArgs;
use crate::cli::failure::Failure;
use crate::cli::print_json::print_either;
use crate::node::closed_spool::{Answered, Finding, Verified, verify};
use crate::runtime::colour;
use crate::runtime::meter::Meter;
use crate::runtime::paint::{BAD, GOOD, Mark, WARNING, painted};
use crate::words::{about_bytes, counted};

/// Words at the beginnings of lines.
const MARKS: [Mark; 5] =
    [("damaged:", BAD), ("DAMAGED:", BAD), ("sound:", GOOD), ("note:", WARNING), ("known:", WARNING)];

/// Checks a spool and prints the result.
/// Errors: [`Failure`] if something is damaged, or there is no readable spool.
pub fn run(args: &SpoolReadArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut meter = Meter::new("checked");
    let verified = verify(&args.dir, &mut |done, total| meter.bytes(done, total))?;
    drop(meter);
    let text = || painted(&render(&verified), &MARKS, colour::wanted(&io::stdout()));
    print_either(out, args.json, &verified, text)?;
    match verified.findings.len() {
        0 => Ok(()),
        1 => Err(Failure::failed(format!("{} is damaged in 1 place", args.dir.display()))),
        count => Err(Failure::failed(format!("{} is damaged in {count} places", args.dir.display()))),
    }
}

/// The text of a verification for people.
pub fn render(of: &Verified) -> String {
    let mut text: String = of.findings.iter().map(finding).collect();
    for note in &of.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    for lost in &of.known_lost {
        text.push_str(&format!("known: positions {} to {} were lost earlier\n", lost.first, lost.last));
    }
    let checked = &of.checked;
    let verdict = if of.sound { "sound" } else { "DAMAGED" };
    text.push_str(&format!(
        "{verdict}: read {} in {} with {}, {}, {}, {}, {}, {}\n",
        about_bytes(checked.segment_bytes),
        counted(checked.segments as u64, "segment", "segments"),
        counted(checked.frames, "frame", "frames"),
        counted(checked.manifest_notes as u64, "manifest note", "manifest notes"),
        counted(checked.indexes as u64, "index", "indexes"),
        counted(checked.fingerprint_files as u64, "file of fingerprints", "files of fingerprints"),
        counted(checked.seals as u64, "seal", "seals"),
        counted(checked.parked as u64, "parked object", "parked objects")
    ));
    text
}

pub(super) fn finding(finding: &Finding) -> String {
    let mut places = Vec::new();
    if let Some(bytes) = finding.bytes {
        places.push(format!("bytes {} to {}", bytes.from, bytes.to));
    }
    if let Some(range) = finding.positions {
        let frames = counted(range.last - range.first + 1, "frame", "frames");
        places.push(format!("positions {} to {} ({frames})", range.first, range.last));
    }
    places.extend(finding.answered.map(|answered| {
        let said = match answered {
            Answered::Yes => "acknowledged",
            Answered::Partly => "partly acknowledged",
            Answered::NotKnown => "not known to be acknowledged",
        };
        said.to_owned()
    }));
    let places = if places.is_empty() { String::new() } else { format!(", {}", places.join(", ")) };
    format!("damaged: {}{places}\n  {}\n", finding.file, finding.what)
}
