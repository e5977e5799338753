use super::*;
use crate::words::rfc3339;

fn format(text: &str) -> DateFormat {
    DateFormat::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn read(text: &str, cell: &str) -> Result<String, BadDate> {
    format(text).read(cell.as_bytes()).map(rfc3339)
}

#[test]
fn dates_are_read_as_their_format_says() {
    let check = |text: &str, cell: &str, expected: &str| {
        assert_eq!(read(text, cell).as_deref(), Ok(expected), "{text}: {cell}");
    };
    check("DD.MM.YYYY", "25.11.2026", "2026-11-25T00:00:00.000Z");
    check("D.M.YYYY", " 5.1.2026 ", "2026-01-05T00:00:00.000Z");
    check("DD.MM.YYYY", "5.1.2026", "2026-01-05T00:00:00.000Z");
    check("dd.MM.yyyy HH:mm", "25.11.2026 15:04", "2026-11-25T15:04:00.000Z");
    check("MM/DD/YYYY hh:mm A", "11/25/2026 3:04 PM", "2026-11-25T15:04:00.000Z");
    check("MM/DD/YYYY hh:mm A", "11/25/2026 12:04 am", "2026-11-25T00:04:00.000Z");
    check("MM/DD/YYYY hh:mmA", "11/25/2026 12:04PM", "2026-11-25T12:04:00.000Z");
    check("MM/DD/YYYY hh:mm A", "11/25/2026\u{a0}3:04\u{202f}PM", "2026-11-25T15:04:00.000Z");
    check("YYYYMMDDHHmmss", "20261125150405", "2026-11-25T15:04:05.000Z");
    check("DD-MMM-YY", "25-Nov-26", "2026-11-25T00:00:00.000Z");
    check("DD MMM YYYY", "1 MAY 1999", "1999-05-01T00:00:00.000Z");
    check("MMM DD, YYYY", "Feb 29, 2024", "2024-02-29T00:00:00.000Z");
    check("YY/MM/DD", "70/01/02", "1970-01-02T00:00:00.000Z");
    check("YY/MM/DD", "69/01/02", "2069-01-02T00:00:00.000Z");
    check("DD.MM.YYYY HH:mm:ss,SSS", "25.11.2026 15:04:05,1239", "2026-11-25T15:04:05.123Z");
    check("DD.MM.YYYY HH:mm:ss.S", "25.11.2026 15:04:05.1", "2026-11-25T15:04:05.100Z");
    check("YYYY/MM/DDTHH:mmZ", "2026/11/25T15:04+02:00", "2026-11-25T13:04:00.000Z");
    check("DD.MM.YYYY HH:mm Z", "25.11.2026 15:04 -0330", "2026-11-25T18:34:00.000Z");
    check("DD.MM.YYYY HH:mm Z", "25.11.2026 15:04 UTC", "2026-11-25T15:04:00.000Z");
    check("DD.MM.YYYY HH:mm Z", "25.11.2026 15:04 Z", "2026-11-25T15:04:00.000Z");
    check("DD.MM.YYYY HH:mm +05:30", "25.11.2026 15:04", "2026-11-25T09:34:00.000Z");
    check("DD.MM.YYYY HH:mm UTC", "25.11.2026 15:04", "2026-11-25T15:04:00.000Z");
    // A zone knows summer and winter.
    check("DD.MM.YYYY HH:mm Europe/Berlin", "25.11.2026 15:04", "2026-11-25T14:04:00.000Z");
    check("DD.MM.YYYY HH:mm Europe/Berlin", "25.07.2026 15:04", "2026-07-25T13:04:00.000Z");
    check("DD/MM/YYYY Europe/Berlin", "25/07/2026", "2026-07-24T22:00:00.000Z");
    check("DD.MM.YYYY HH:mm America/New_York", "25.11.2026 15:04", "2026-11-25T20:04:00.000Z");
}

#[test]
fn what_is_no_time_of_the_format_says_why() {
    let check = |text: &str, cell: &str, expected: BadDate| {
        assert_eq!(read(text, cell), Err(expected), "{text}: {cell}");
    };
    for cell in [
        "", "25.11.26", "x25.11.2026", "25.11.2026x", "25.11.02026", "25/11/2026", "25..11.2026",
        "025.11.2026", "١.11.2026",
    ] {
        check("DD.MM.YYYY", cell, BadDate::Form);
    }
    // It said that the cell has another form, although it has that one.
    for cell in ["25.13.2026", "29.02.2026", "31.11.2026", "0.11.2026"] {
        check("DD.MM.YYYY", cell, BadDate::NoSuchTime);
    }
    check("DDMMYYYY", "5112026", BadDate::Form);
    check("DD.MM.YY", "1.2.3", BadDate::Form);
    for cell in ["11/25/2026 3:04", "11/25/2026 3:04 XM"] {
        check("MM/DD/YYYY hh:mm A", cell, BadDate::Form);
    }
    for cell in ["11/25/2026 13:04 PM", "11/25/2026 0:04 AM"] {
        check("MM/DD/YYYY hh:mm A", cell, BadDate::NoSuchTime);
    }
    for cell in ["25.11.2026", "25.11.2026 15:04:05"] {
        check("DD.MM.YYYY HH:mm", cell, BadDate::Form);
    }
    for cell in ["25.11.2026 24:00", "25.11.2026 15:60"] {
        check("DD.MM.YYYY HH:mm", cell, BadDate::NoSuchTime);
    }
    for cell in
        ["25.11.2026 15:04 CEST", "25.11.2026 15:04 ", "25.11.2026 15:04 +24:00", "25.11.2026 15:04 +2"]
    {
        check("DD.MM.YYYY HH:mm Z", cell, BadDate::Form);
    }
    check("DD.MM.YYYY HH:mm Europe/Berlin", "29.03.2026 02:30", BadDate::Skipped);
    check("DD.MM.YYYY HH:mm Europe/Berlin", "25.10.2026 02:30", BadDate::Twice);
    check("DD.MM.YYYY HH:mm Europe/Berlin", "31.12.9999 00:00", BadDate::UnknownYear);
    assert!(read("DD.MM.YYYY", &format!("25.11.2026{}", " ".repeat(100))).is_ok());
    check("DD.MM.YYYY", &"1".repeat(100), BadDate::Form);
}

/// A golden list: the texts are in hashes of options and in files beside rejected rows.
#[test]
fn a_format_has_one_text() {
    let check = |text: &str, expected: &str| {
        assert_eq!(format(text).to_string(), expected);
        assert_eq!(format(expected), format(text));
        let json = serde_json::to_string(&format(text)).unwrap();
        assert_eq!(json, serde_json::to_string(expected).unwrap());
        assert_eq!(serde_json::from_str::<DateFormat>(&json).unwrap(), format(text));
    };
    check("d.M.yyyy", "DD.MM.YYYY");
    check(" DD.MM.YYYY H:m:s.S ", "DD.MM.YYYY HH:mm:ss.SSS");
    check("M/D/YY h:mm a  America/New_York", "MM/DD/YY hh:mm A America/New_York");
    check("MMM D, YYYY HH:mm +0530", "MMM DD, YYYY HH:mm +05:30");
    check("DD.MM.YYYY HH:mm -03", "DD.MM.YYYY HH:mm -03:00");
    check("DD.MM.YYYY UTC", "DD.MM.YYYY");
    check("YYYY/MM/DDTHH:mm:ssZ", "YYYY/MM/DDTHH:mm:ssZ");
}

#[test]
fn a_format_that_cannot_be_used_says_why() {
    let check = |text: &str, part: &str| {
        let error = DateFormat::parse(text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    };
    check("", "needs one year");
    check("DD.MM", "needs one year");
    check("dd.mm.yyyy", "needs one month, MM (mm is the minute)");
    check("MM.YYYY", "needs one day");
    check("DD.MM.YYYY DD", "needs one day");
    check("DD.MM.YYYY hh:mm", "needs A beside it");
    check("DD.MM.YYYY HH:mm A", "needs A beside it");
    check("DD.MM.YYYY mm", "HH before mm");
    check("DD.MM.YYYY HH:ss", "mm before ss");
    check("DD.MM.YYYY HH:mm:mm", "each part once");
    check("DD.MM.YYYY Z", "Z is the zone of a time");
    check("DD.MM.YYYY HH:mm Z UTC", "Z is the zone of a time");
    check("TT.MM.JJJJ", "\"TT.MM.JJJJ\" means nothing");
    check("DD.MM.YYYY HH:mm Europe/Berln", "\"Europe/Berln\" is neither a part of a date nor a time zone");
    check("DD.MM.YYYYY", "\"YYYYY\" means nothing");
    check("DD.MM.YYYY  HH", "means nothing");
    check("DD\u{e9}MM", "means nothing");
    check(&"D".repeat(200), "at most 100 bytes");
}

/// A time on the clocks of a zone, as another library writes it, is read back as the time that it was.
fn is_read_back(at_seconds: i64, zone: Tz, format: &str, of_chrono: &str) {
    let at = chrono::DateTime::from_timestamp(at_seconds, 0).unwrap();
    let local = at.with_timezone(&zone);
    let cell = local.format(of_chrono).to_string();
    let format = DateFormat::parse(&format!("{format} {}", zone.name())).unwrap();
    match format.read(cell.as_bytes()) {
        Ok(read) => assert_eq!(read, UnixMillis(at_seconds * 1_000), "{cell}"),
        Err(BadDate::Twice) => {
            assert_eq!(
                zone.from_local_datetime(&local.naive_local()).earliest().map(|at| at.naive_local()),
                Some(local.naive_local())
            );
        }
        Err(bad) => panic!("{cell}: {bad:?}"),
    }
}

proptest::proptest! {
    #[test]
    fn a_time_that_another_library_wrote_is_read_back(at in 0_i64..4_102_358_400, zone in 0_usize..4) {
        let zone = [Tz::Europe__Berlin, Tz::America__New_York, Tz::Asia__Kolkata, Tz::Australia__Lord_Howe][zone];
        is_read_back(at, zone, "DD.MM.YYYY HH:mm:ss", "%d.%m.%Y %H:%M:%S");
        is_read_back(at, zone, "M/D/YYYY h:mm:ss A", "%-m/%-d/%Y %-I:%M:%S %p");
        is_read_back(at, zone, "DD-MMM-YYYY HHmmss", "%d-%b-%Y %H%M%S");
    }

    #[test]
    fn no_cell_and_no_format_panics(text in ".{0,40}", cell in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..70), digits in "[-+0-9.:/ APMZ]{0,40}") {
        drop(DateFormat::parse(&text));
        for known in ["DD.MM.YYYY HH:mm Europe/Berlin", "MM/DD/YYYY hh:mm A", "DD MMM YY HH:mm:ss.SSS Z"] {
            let known = format(known);
            for at in [&cell[..], digits.as_bytes()].into_iter().flat_map(|cell| known.read(cell)) {
                assert!(at <= LATEST, "{at:?}");
            }
        }
    }
}
