//! The operators of times.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::value::Value;
use crate::call::export_time::{self, Numbers};
use crate::time::{DAY_MS, UnixMillis};
use crate::words::date::{LATEST, days_of_civil};
use crate::words::rfc3339;

/// The Julian day of 1970-01-01.
const JULIAN_1970: i64 = 2_440_588;

/// The milliseconds of an ISO time. `None` for other texts; a bare number is none.
pub(super) fn ms_of_iso(text: &str) -> Option<Value<'static>> {
    if export_time::is_number(text.as_bytes()) {
        return None;
    }
    export_time::parse(text.as_bytes(), Numbers::ByMagnitude).map(|at| Value::Int(at.0))
}

/// The ISO form of a time: `2022-02-17T02:53:54.189Z`. `None` outside the years 0 to 9999.
pub(super) fn iso_of(at: UnixMillis) -> Option<Value<'static>> {
    let earliest = days_of_civil(0, 1, 1) * DAY_MS;
    (earliest..=LATEST.0).contains(&at.0).then(|| Value::Text(rfc3339(at).into()))
}

/// The milliseconds of a time of 96 bits, in base64: nanoseconds of the day and the Julian day, both with
/// their least byte first.
pub(super) fn ms_of_int96(text: &str) -> Option<Value<'static>> {
    let bytes: [u8; 12] = STANDARD.decode(text.trim_ascii()).ok()?.try_into().ok()?;
    let nanoseconds = u64::from_le_bytes(*bytes.first_chunk()?);
    let day = u32::from_le_bytes(*bytes.last_chunk()?);
    let midnight = (i64::from(day) - JULIAN_1970).checked_mul(DAY_MS)?;
    midnight.checked_add(i64::try_from(nanoseconds / 1_000_000).ok()?).map(Value::Int)
}
