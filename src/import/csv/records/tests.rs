use proptest::prelude::*;

use super::*;
use crate::import::csv::row_error::QuoteSign;

const MAX_FIELD: usize = crate::import::csv::dialect::MAX_FIELD;

/// What was read of one item: number, line, byte, fields or code, raw.
type Seen = (u64, u64, u64, Result<Vec<String>, RowError>, Vec<u8>);

/// Gives a few bytes at a time, the next number of bytes from 1 to 7 each time.
struct Drops<'t>(&'t [u8], usize);

impl Read for Drops<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.1 = self.1 % 7 + 1;
        if self.1 == 3 {
            self.1 += 1;
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = self.1.min(self.0.len()).min(into.len());
        let (now, later) = self.0.split_at(len);
        into[..len].copy_from_slice(now);
        self.0 = later;
        Ok(len)
    }
}

fn dialect(escape: Option<u8>) -> Dialect {
    Dialect { escape, ..Dialect::default() }
}

fn seen_by<R: Read>(input: R, dialect: &Dialect) -> Vec<Seen> {
    let mut records = Records::new(input, dialect.clone());
    let mut record = Record::default();
    let mut seen = Vec::new();
    while let Some(item) = records.read(&mut record).unwrap() {
        let fields = match item {
            Item::Record => {
                let fields = record.iter().map(|field| String::from_utf8_lossy(field).into_owned());
                Ok(fields.collect::<Vec<_>>())
            }
            Item::Broken(error) => {
                assert!(record.is_empty());
                Err(error)
            }
        };
        seen.push((record.number, record.line, record.byte, fields, record.raw.to_vec()));
    }
    assert_eq!(records.read(&mut record).unwrap(), None);
    seen
}

/// The text up to the end of each item.
fn texts_so_far<R: Read>(input: R, dialect: &Dialect) -> Vec<(u64, FileId)> {
    let mut records = Records::new(input, dialect.clone());
    let mut texts = Vec::new();
    while records.read(&mut Record::default()).unwrap().is_some() {
        texts.push(records.text_so_far().unwrap());
    }
    // The same once the line breaks after it were read, at the end.
    let at_end = records.text_so_far();
    assert!(texts.is_empty() || at_end == texts.last().copied(), "{texts:?}, {at_end:?}");
    texts
}

/// Reads a text, whole and in drops, and checks what must hold for every text.
fn seen(text: &[u8], dialect: &Dialect) -> Vec<Seen> {
    let whole = seen_by(text, dialect);
    assert_eq!(seen_by(Drops(text, 0), dialect), whole, "in drops: {:?}", String::from_utf8_lossy(text));
    let texts = texts_so_far(text, dialect);
    assert_eq!(texts_so_far(Drops(text, 0), dialect), texts, "in drops: {:?}", String::from_utf8_lossy(text));
    assert!(texts.is_sorted_by(|one, other| one.0 < other.0 && one.1 != other.1));
    let mut line_breaks = 0;
    let mut at = 0;
    for (index, (number, line, byte, _, raw)) in whole.iter().enumerate() {
        assert_eq!(*number, u64::try_from(index).unwrap());
        let byte = usize::try_from(*byte).unwrap();
        assert!(byte >= at);
        for place in at..byte {
            let after_cr = place > 0 && text[place - 1] == b'\r';
            line_breaks += u64::from(text[place] == b'\r' || (text[place] == b'\n' && !after_cr));
        }
        at = byte;
        assert_eq!(*line, line_breaks + 1, "line of byte {byte}");
        assert!(text[byte..].starts_with(raw));
        assert!(!raw.is_empty());
    }
    whole
}

fn fields_of(text: &str, dialect: &Dialect) -> Vec<Vec<String>> {
    seen(text.as_bytes(), dialect).into_iter().map(|item| item.3.unwrap()).collect()
}

fn check(text: &str, expected: &[&[&str]]) {
    assert_eq!(fields_of(text, &dialect(None)), expected, "{text:?}");
    // A scanner with an escape that does not occur comes to the same.
    assert_eq!(fields_of(text, &dialect(Some(1))), expected, "{text:?}, with an escape");
}

/// Numbers with the fields, or the error's code.
fn check_broken(text: &str, dialect: &Dialect, expected: &[&str]) {
    let found: Vec<String> = seen(text.as_bytes(), dialect)
        .into_iter()
        .map(|(number, line, _, fields, _)| {
            let fields = fields.map_or_else(|error| error.code().to_owned(), |fields| fields.join("/"));
            format!("{number}@{line} {fields}")
        })
        .collect();
    assert_eq!(found, expected, "{text:?}");
}

#[test]
fn line_feeds_carriage_returns_and_both_end_a_record() {
    check("a,b\n1,2\n", &[&["a", "b"], &["1", "2"]]);
    check("a,b\r\n1,2\r\n", &[&["a", "b"], &["1", "2"]]);
    check("a,b\r1,2\r", &[&["a", "b"], &["1", "2"]]);
    check("a,b\r1,2\n3,4", &[&["a", "b"], &["1", "2"], &["3", "4"]]);
}

#[test]
fn blank_lines_are_no_records() {
    check("", &[]);
    check("\n\r\n\r", &[]);
    check("\n\na\n\r\n\r\rb\n\n", &[&["a"], &["b"]]);
    check(" \n\"\"\n", &[&[" "], &[""]]);
}

#[test]
fn fields_may_be_empty() {
    check(",\n,,", &[&["", ""], &["", "", ""]]);
    check("\"\",a\na,\"\"", &[&["", "a"], &["a", ""]]);
    check("a,", &[&["a", ""]]);
}

#[test]
fn quotes_hold_delimiters_line_breaks_and_doubled_quotes() {
    check("\"a,b\",c\n", &[&["a,b", "c"]]);
    check("\"a\nb\r\nc\rd\",e\nf,g\n", &[&["a\nb\r\nc\rd", "e"], &["f", "g"]]);
    check("\"say \"\"hi\"\"\"\n\"\"\"\"", &[&["say \"hi\""], &["\""]]);
    check("\"a\n\"\"b\"\"\n\"", &[&["a\n\"b\"\n"]]);
}

#[test]
fn quotes_within_a_line_are_read_leniently() {
    check("a\"b,c\"\n", &[&["a\"b", "c\""]]);
    check("\"a\"b,\"c\" ,d\n", &[&["ab", "c ", "d"]]);
    check("\"a\nb\" ,c\n", &[&["a\nb ", "c"]]);
}

#[test]
fn a_byte_order_mark_is_dropped_at_the_beginning_alone() {
    check("\u{feff}\"a\",b\n\u{feff}c,d\n", &[&["a", "b"], &["\u{feff}c", "d"]]);
    check("\u{feff}", &[]);
    check("\u{feff}\u{feff}a", &[&["\u{feff}a"]]);
    assert_eq!(seen(b"\xEF\xBBa", &dialect(None)).len(), 1);
    // After an unclosed quote too.
    check_broken("\"a\n\u{feff}b", &dialect(None), &["0@1 quote", "1@2 \u{feff}b"]);
}

#[test]
fn places_are_those_of_the_text() {
    let mut records = Records::new("\u{feff}h\r\n\r\n\"a\nb\",c\r\rd\n".as_bytes(), dialect(None));
    let mut record = Record::default();
    assert_eq!(records.read_header(&mut record).unwrap(), Some(Item::Record));
    assert_eq!((record.line, record.byte, record.raw.as_slice()), (1, 3, b"h".as_slice()));
    assert_eq!(records.read(&mut record).unwrap(), Some(Item::Record));
    let place = (record.number, record.line, record.byte, record.raw.as_slice());
    assert_eq!(place, (0, 3, 8, b"\"a\nb\",c".as_slice()));
    assert_eq!((record.len(), record.get(0), record.get(2)), (2, Some(b"a\nb".as_slice()), None));
    assert_eq!(records.read(&mut record).unwrap(), Some(Item::Record));
    assert_eq!((record.number, record.line, record.byte), (1, 6, 17));
    assert_eq!(records.read(&mut record).unwrap(), None);
}

#[test]
fn other_delimiters_and_no_quotes() {
    let check = |dialect: Dialect, text: &str, expected: &[&[&str]]| {
        assert_eq!(fields_of(text, &dialect), expected, "{text:?}");
    };
    check(Dialect { delimiter: b'\t', ..dialect(None) }, "a\tb,c\n", &[&["a", "b,c"]]);
    check(Dialect { quote: None, ..dialect(None) }, "\"a,b\"\n\"\n", &[&["\"a", "b\""], &["\""]]);
    check(Dialect { quote: Some(b'\''), ..dialect(None) }, "'a,''b',\"\n", &[&["a,'b", "\""]]);
}

#[test]
fn an_escape_counts_inside_and_outside_of_quotes() {
    let check = |text: &str, expected: &[&[&str]]| {
        assert_eq!(fields_of(text, &dialect(Some(b'\\'))), expected, "{text:?}");
    };
    check(r#"a\,b,c\\"#, &[&["a,b", "c\\"]]);
    check("a\\\nb,c\nd", &[&["a\nb", "c"], &["d"]]);
    check("\\\r\\\na\r\nb", &[&["\r\na"], &["b"]]);
    check("\"a\\\"b\",\"c\"\"d\"", &[&["a\"b", "c\"d"]]);
    check("\"a\\\nb\"\n\\\"a\n", &[&["a\nb"], &["\"a"]]);
    check("\"\\\\\",\\", &[&["\\", "\\"]]);
    check("a\\", &[&["a\\"]]);
    // As databases write: no value, and control characters.
    check(r"\N,a,\N", &[&["", "a", ""]]);
    check(r#"a\nb\tc,"d\\N""#, &[&["a\nb\tc", "d\\N"]]);
}

#[test]
fn rows_after_an_unclosed_quote_survive() {
    check_broken("a,b\n1,\"x\n2,y\n3,z", &dialect(None), &["0@1 a/b", "1@2 quote", "2@3 2/y", "3@4 3/z"]);
    check_broken("a\r\"\r\nb\r\n", &dialect(None), &["0@1 a", "1@2 quote", "2@3 b"]);
    check_broken("\"", &dialect(None), &["0@1 quote"]);
    check_broken("\"a\\\"\nb", &dialect(Some(b'\\')), &["0@1 quote", "1@2 b"]);
    check_broken("\"a\\", &dialect(Some(b'\\')), &["0@1 quote"]);
}

#[test]
fn a_quote_that_opens_another_field_does_not_close_one_above() {
    // The second quote would close the first one: two rows would become one of the right width.
    check_broken("1,\"Ann,x\n2,\"Bob,y\n3,c,z\n", &dialect(None), &["0@1 quote", "1@2 quote", "2@3 3/c/z"]);
    let error = seen(b"1,\"A\n2,\"B", &dialect(None)).remove(0).3.unwrap_err();
    assert_eq!(error, RowError::Quote { field: 2, sign: QuoteSign::TextAfterQuote });
}

#[test]
fn a_field_has_at_most_a_thousand_line_breaks() {
    for line_break in ["\n", "\r", "\r\n"] {
        let text = |breaks: usize| format!("\"{}\",b\nc,d\n", format!("x{line_break}").repeat(breaks));
        let whole = seen(text(1_000).as_bytes(), &dialect(None));
        assert_eq!(whole.len(), 2);
        assert_eq!((whole[1].1, whole[0].3.as_ref().unwrap().len()), (1_002, 2), "{line_break:?}");
        let broken = seen(text(1_001).as_bytes(), &dialect(None));
        let sign = QuoteSign::LineBreaks(1_000);
        assert_eq!(broken[0].3, Err(RowError::Quote { field: 1, sign }), "{line_break:?}");
        assert_eq!(broken[1].3, Ok(vec!["x".to_owned()]));
        assert_eq!(broken.last().unwrap().3, Ok(vec!["c".to_owned(), "d".to_owned()]));
    }
    // Of several fields each counts for itself.
    let text = format!("\"{0}\",\"{0}\"\n", "\n".repeat(1_000));
    assert_eq!(seen(text.as_bytes(), &dialect(None)).len(), 1);
}

#[test]
fn a_field_and_a_record_have_a_longest_length() {
    let small = |quote: Option<u8>, escape| Dialect { quote, escape, max_field: 8, ..Dialect::default() };
    for escape in [None, Some(b'\\')] {
        let dialect = small(Some(b'"'), escape);
        check_broken("12345678,\"12345678\"\n", &dialect, &["0@1 12345678/12345678"]);
        check_broken("123456789,a\nb", &dialect, &["0@1 too-large", "1@2 b"]);
        check_broken("a,\"123456789\"\nb", &dialect, &["0@1 quote", "1@2 b"]);
        check_broken("\"1234\n5678\"\nb", &dialect, &["0@1 quote", "1@2 5678\"", "2@3 b"]);
        check_broken("\"12\"\"456\"\"8\"\nb", &dialect, &["0@1 12\"456\"8", "1@2 b"]);
        // 32 bytes of record.
        check_broken(
            "1234567,1234567,1234567,12345678\nb",
            &dialect,
            &["0@1 1234567/1234567/1234567/12345678", "1@2 b"],
        );
        check_broken(
            "1234567,1234567,1234567,1234567,\nb",
            &dialect,
            &["0@1 1234567/1234567/1234567/1234567/", "1@2 b"],
        );
        check_broken("1234567,1234567,1234567,1234567,1\nb", &dialect, &["0@1 too-large", "1@2 b"]);
        check_broken("1234567,1234567,1234567,\"1\n345\",1", &dialect, &["0@1 too-large", "1@2 345\"/1"]);
        check_broken(&format!("{}\nb", ",".repeat(100_000)), &dialect, &["0@1 too-large", "1@2 b"]);
    }
    check_broken("123456789\nb", &small(None, None), &["0@1 too-large", "1@2 b"]);
}

#[test]
fn the_text_kept_of_a_broken_region_is_bounded() {
    let text = format!("{}\nb\n", "x".repeat(3 * BROKEN_RAW_MAX));
    let dialect = Dialect { max_field: 1_000, ..Dialect::default() };
    let found = seen_by(text.as_bytes(), &dialect);
    assert_eq!(found[0].4.len(), BROKEN_RAW_MAX);
    assert_eq!(found, seen_by(Drops(text.as_bytes(), 0), &dialect));
    assert_eq!((found[1].1, found[1].3.as_ref().unwrap()), (2, &vec!["b".to_owned()]));
}

#[test]
fn memory_is_bounded_by_the_longest_record() {
    let text = "a,\"x\n".repeat(1_200_000);
    let mut records = Records::new(text.as_bytes(), dialect(None));
    let mut record = Record::default();
    let mut long = 0;
    while records.read(&mut record).unwrap().is_some() && long < 4 {
        long += 1;
    }
    assert!(records.buffer.capacity() < 10 * MAX_FIELD, "{}", records.buffer.capacity());
}

#[test]
fn a_line_is_scanned_a_bounded_number_of_times() {
    // Each line ends inside of quotes, whether the line before did or not.
    let lines = 50_000_u64;
    let text = "a\"b,\"\n".repeat(50_000);
    let mut records = Records::new(text.as_bytes(), dialect(None));
    let mut record = Record::default();
    let mut broken = 0;
    while let Some(item) = records.read(&mut record).unwrap() {
        broken += u64::from(item != Item::Record);
    }
    assert_eq!((broken, record.line), (lines, lines + 1));
    let bytes = text.len() as u64;
    let bound = RESCAN_FREE + bytes * (RESCAN_RATIO + RECORD_LINE_BREAKS_REDUCED) + 4 * MAX_FIELD as u64;
    assert!(records.rescanned <= bound, "{} of {bytes} bytes", records.rescanned);
}

#[test]
fn utf8_is_checked_in_each_field() {
    let check = |text: &[u8], utf8: &[bool]| {
        let mut records = Records::new(text, dialect(None));
        let mut record = Record::default();
        let mut found = Vec::new();
        while records.read(&mut record).unwrap().is_some() {
            found.push(record.utf8);
        }
        assert_eq!(found, utf8, "{text:?}");
    };
    check("é,ü\n\"ä\n\",ö\n".as_bytes(), &[true, true]);
    check(b"a,\xFF\nb\n\"\n\xFF\"", &[false, true, false]);
    // Together the fields would be UTF-8.
    check(b"\xC3,\xA9\n\"\xC3\"\xA9\n", &[false, false]);
}

/// The records that the `csv` crate reads.
fn csv_crate(text: &[u8], delimiter: u8, quote: Option<u8>) -> Vec<Vec<String>> {
    let mut builder = csv::ReaderBuilder::new();
    builder.has_headers(false).flexible(true).delimiter(delimiter).quoting(quote.is_some());
    builder.quote(quote.unwrap_or(b'"'));
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mut records = builder.from_reader(text);
    records
        .byte_records()
        .map(|record| {
            record.unwrap().iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect()
        })
        .collect()
}

/// Writes a table; each cell is quoted if it must be, or if `quoted` says so.
fn write_table(
    table: &[Vec<String>],
    dialect: &Dialect,
    line_break: &str,
    doubled: bool,
    quoted: &[bool],
) -> String {
    let mut text = String::new();
    let mut wishes = quoted.iter().cycle();
    for row in table {
        for (index, cell) in row.iter().enumerate() {
            if index > 0 {
                text.push(char::from(dialect.delimiter));
            }
            let special = |byte: u8| {
                matches!(byte, b'\r' | b'\n')
                    || byte == dialect.delimiter
                    || Some(byte) == dialect.quote
                    || Some(byte) == dialect.escape
            };
            let must = cell.bytes().any(special) || (row.len() == 1 && cell.is_empty());
            let quote = dialect.quote.filter(|_| must && dialect.escape.is_none() || *wishes.next().unwrap());
            text.extend(quote.map(char::from));
            for byte in cell.chars() {
                let is = |other: Option<u8>| other.is_some_and(|other| char::from(other) == byte);
                if quote.is_some() && is(quote) && doubled {
                    text.push(byte);
                } else if is(dialect.escape)
                    || (quote.is_some() && is(quote))
                    || (quote.is_none() && byte.is_ascii() && special(u8::try_from(byte).unwrap()))
                {
                    text.extend(dialect.escape.map(char::from));
                }
                text.push(byte);
            }
            text.extend(quote.map(char::from));
        }
        text.push_str(line_break);
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_alike_in_any_pieces(
        text in proptest::collection::vec(
            prop_oneof![
                Just(b'"'), Just(b'\n'), Just(b'\r'), Just(b','), Just(b'\\'), Just(b'a'), Just(b' '), any::<u8>()
            ],
            0..120,
        ),
        quote in prop_oneof![Just(Some(b'"')), Just(None)],
        escape in prop_oneof![Just(Some(b'\\')), Just(None)],
        max_field in prop_oneof![Just(MAX_FIELD), 0_usize..12],
        skips_blanks in any::<bool>(),
    ) {
        seen(&text, &Dialect { quote, escape, max_field, skips_blanks, ..Dialect::default() });
    }

    /// Where no blank follows a delimiter, it makes no difference that blanks would be skipped.
    #[test]
    fn blanks_are_skipped_after_delimiters_alone(text in "[\"\n\r,a b]{0,60}") {
        let text = text.replace(", ", ",");
        prop_assume!(!text.contains(", "));
        let skips = Dialect { skips_blanks: true, ..Dialect::default() };
        prop_assert_eq!(seen(text.as_bytes(), &skips), seen(text.as_bytes(), &Dialect::default()));
        // Otherwise it is as if they were not there, but inside of quotes.
        let bare = text.replace('"', "");
        prop_assume!(!bare.contains(", "));
        let spread = bare.replace(',', ",  ");
        prop_assert_eq!(fields_of(&spread, &skips), fields_of(&bare, &Dialect::default()));
    }

    #[test]
    fn what_is_no_error_is_read_as_by_the_csv_crate(
        text in "[\"\n\r,a b]{0,60}",
        quote in prop_oneof![Just(Some(b'"')), Just(None)],
    ) {
        let dialect = Dialect { quote, ..Dialect::default() };
        let items = seen(text.as_bytes(), &dialect);
        if items.iter().all(|item| item.3.is_ok()) {
            let fields: Vec<Vec<String>> = items.into_iter().map(|item| item.3.unwrap()).collect();
            prop_assert_eq!(&fields, &csv_crate(text.as_bytes(), b',', quote));
            // The scanner alone, too.
            prop_assert_eq!(&fields, &fields_of(&text, &Dialect { escape: Some(1), ..dialect }));
        }
    }

    #[test]
    fn a_written_table_is_read_back(
        table in proptest::collection::vec(
            proptest::collection::vec("[a,;\t|\"'\\\\\n\r é]{0,6}", 1..5), 0..6),
        delimiter in prop_oneof![Just(b','), Just(b';'), Just(b'\t'), Just(b'|')],
        quote in prop_oneof![Just(b'"'), Just(b'\'')],
        escape in prop_oneof![Just(Some(b'\\')), Just(None)],
        line_break in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        doubled in any::<bool>(),
        quoted in proptest::collection::vec(any::<bool>(), 1..8),
    ) {
        let dialect = Dialect { delimiter, quote: Some(quote), escape, ..Dialect::default() };
        let doubled = doubled || escape.is_none();
        let text = write_table(&table, &dialect, line_break, doubled, &quoted);
        // A lone empty cell without quotes is a blank line.
        let expected: Vec<Vec<String>> = table
            .into_iter()
            .filter(|row| escape.is_none() || row.len() > 1 || !row[0].is_empty())
            .collect();
        let found: Vec<Vec<String>> =
            fields_of(&text, &dialect).into_iter().filter(|row| escape.is_none() || row.len() > 1 || !row[0].is_empty()).collect();
        prop_assert_eq!(found, expected, "{:?}", text);
    }
}

/// The beginning of a text is the same when the text has grown. Of CRLF only the first byte counted, and
/// blank lines did.
#[test]
fn a_text_that_grows_still_begins_with_what_it_had() {
    for line_break in ["\n", "\r\n", "\r"] {
        for end in ["", line_break, &line_break.repeat(3), &format!("{line_break} {line_break}")] {
            for rows in ["a,b\nc,d", "a,b\n\"c\n\",d", "a,b\nc,\"d", "a"] {
                let before = rows.replace('\n', line_break) + end;
                let had = texts_so_far(before.as_bytes(), &Dialect::default());
                let grown =
                    format!("{before}{}e,f{line_break}", if end.is_empty() { line_break } else { "" });
                let has = texts_so_far(grown.as_bytes(), &Dialect::default());
                assert_eq!(has.get(..had.len()), Some(&had[..]), "{before:?}");
            }
        }
    }
    let cut_off = |text: &str| {
        let mut records = Records::new(text.as_bytes(), Dialect::default());
        while records.read(&mut Record::default()).unwrap().is_some() {}
        records.is_cut_off()
    };
    assert!(["a,b", "a,b\nc", "a\n \"x\"", "a\n\"x"].into_iter().all(cut_off));
    assert!(!["", "a\n", "a\r", "a\r\n\n", "\"a\nb\"\r\n"].into_iter().any(cut_off));
}
