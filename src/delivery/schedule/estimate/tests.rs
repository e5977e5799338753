use super::*;

const MB: u64 = 1_000_000;

/// Lines that compress `ratio` times, from a byte of the lines on.
type Ratios = [(u64, f64)];

/// Bytes of object that the lines between two bytes become.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a model"
)]
fn object_of(ratios: &Ratios, from: u64, to: u64) -> u64 {
    let ends = ratios.iter().skip(1).map(|(begin, _)| *begin).chain([u64::MAX]);
    let stretches = ratios.iter().zip(ends).map(|((begin, ratio), end)| {
        let within = to.min(end).saturating_sub(from.max(*begin));
        within as f64 / ratio
    });
    stretches.sum::<f64>() as u64
}

/// The result of adding lines until they were due for their size.
#[derive(Debug)]
struct Due {
    lines: u64,
    /// Bytes of lines that fill the object.
    needed: u64,
    object: u64,
    /// Bytes of lines that were compressed for measurements, and how many there were.
    compressed: u64,
    measurements: u64,
}

/// Lines come in steps of a hundredth of an object, from `begin` bytes on, until they are due. A measurement
/// is off by up to `error` thousandths in either direction.
fn until_due(ratios: &Ratios, max: u64, begin: u64, learnt: Option<f64>, error: u64) -> Due {
    let mut estimate = Estimate::unknown_after(7);
    let mut due = Due { lines: begin, needed: 0, object: 0, compressed: 0, measurements: 0 };
    while estimate.object_bytes(due.lines, learnt) < max {
        if estimate.is_stale(due.lines, max) {
            let mut sampled = Sampled::default();
            let pieces = estimate.pieces(due.lines, max);
            assert!(pieces.before <= pieces.offsets[0], "{pieces:?}");
            for offset in pieces.offsets {
                assert!(offset + pieces.len <= due.lines, "{offset}");
                sampled.lines += pieces.len;
                sampled.object += object_of(ratios, offset, offset + pieces.len);
                due.compressed += pieces.len;
            }
            let off = if due.measurements.is_multiple_of(2) { 1_000 + error } else { 1_000 - error };
            sampled.object = sampled.object * off / 1_000;
            estimate.measured(due.lines, sampled);
            due.measurements += 1;
            continue;
        }
        due.lines += max / 100;
    }
    due.object = object_of(ratios, 0, due.lines);
    while object_of(ratios, 0, due.needed) < max {
        due.needed += max / 1_000;
    }
    due
}

fn check(what: &str, ratios: &Ratios, max: u64, learnt: Option<f64>, error: u64) {
    let due = until_due(ratios, max, 0, learnt, error);
    let what = format!("{what} of {max}: {due:?}");
    assert!(due.object * 100 >= max * 95 && due.object * 100 <= max * 110, "{what}");
    // Where lines compress a hundredfold at the end, one per cent of the object is a large part of the lines.
    if ratios.len() == 1 {
        assert!(due.lines * 100 <= due.needed * 110 && due.lines * 100 >= due.needed * 90, "{what}");
    }
    let percent = due.compressed as f64 * 100.0 / due.lines as f64;
    let most = match max / MB {
        0..5 => 4.0,
        _ => 3.0,
    };
    assert!(percent <= most, "{percent} % of the lines are compressed twice: {what}");
}

#[test]
fn a_batch_is_due_when_its_object_is_full_however_well_lines_compress() {
    for max in [MB, 5 * MB, 10 * MB, 100 * MB, 1_000 * MB] {
        for ratio in [1.0, 1.3, 2.0, 6.0, 12.0, 40.0, 200.0] {
            for learnt in [None, Some(1.0), Some(6.0), Some(200.0)] {
                let what = format!("ratio {ratio}, learnt {learnt:?}");
                check(&what, &[(0, ratio)], max, learnt, 20);
            }
        }
    }
}

#[test]
fn it_is_so_where_lines_begin_to_compress_otherwise_within_the_batch() {
    let max = 100 * MB;
    for (first, then) in [(12.0, 1.0), (1.5, 12.0), (40.0, 1.0), (6.0, 3.0), (1.0, 200.0)] {
        for full in [5, 50, 90] {
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a model"
            )]
            let change = (max as f64 * first * f64::from(full) / 100.0) as u64;
            let what = format!("{first} and {then} at {full} %");
            check(&what, &[(0, first), (change, then)], max, Some(first), 20);
        }
    }
    // The ratio changes again and again.
    let back_and_forth: Vec<(u64, f64)> =
        (0..200).map(|n| (n * 7 * MB, if n % 2 == 0 { 12.0 } else { 1.2 })).collect();
    check("back and forth", &back_and_forth, max, None, 20);
}

#[test]
fn what_a_start_finds_is_measured_at_once() {
    let max = 100 * MB;
    for ratio in [1.0, 3.0, 12.0] {
        let check = |lines: u64, due_at: u64| {
            let due = until_due(&[(0, ratio)], max, lines, None, 20);
            assert!(due.lines * 100 <= due_at * 110 && due.lines * 100 >= due_at * 90, "{ratio}: {due:?}");
            assert!(due.compressed <= due.lines / 20, "{ratio}: {due:?}");
        };
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a model"
        )]
        let needed = (max as f64 * ratio) as u64;
        check(needed / 2, needed);
        check(needed * 99 / 100, needed);
        // A backlog of many objects is due at once, and its measurement costs no more than that of one
        // object.
        check(needed * 100, needed * 100);
        let backlog = until_due(&[(0, ratio)], max, needed * 100, None, 20);
        assert!(backlog.compressed <= max / 20, "{ratio}: {backlog:?}");
    }
}

#[test]
fn an_encoding_that_was_not_full_says_it_exactly() {
    let max = 100 * MB;
    let estimate = Estimate::encoded(7, 540 * MB, 90 * MB);
    assert_eq!(estimate.object_bytes(540 * MB, None), 90 * MB);
    assert_eq!(estimate.object_bytes(600 * MB, None), 100 * MB);
    assert!(!estimate.is_stale(548 * MB, max) && estimate.is_stale(549 * MB, max));
}

#[test]
fn lines_that_cannot_be_read_are_not_measured_again_and_again() {
    let mut estimate = Estimate::unknown_after(7);
    estimate.measured(100 * MB, Sampled::default());
    assert!(!estimate.is_stale(100 * MB, 100 * MB));
    assert_eq!(estimate.object_bytes(100 * MB, None), 0);
}
