//! The places of fields in a call's `context`.

use super::field::Field;
use super::fields::Fields;
use super::object_text::{begin, named};
use super::value::Value;
use crate::json::{self, Cursor, ValueKind, quoted};

/// What is special about a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Nothing: the value is written as it is.
    AsIs,
    /// A number; as text, too. -1 and an empty text mean that there is none.
    Session,
    /// `$remote` means the address of whoever sent the row, which says nothing of an import.
    Ip,
    /// Null is left out.
    NotNull,
    /// The device's id, which the call has at its top, too.
    DeviceId,
    /// The first advertising id of the device that is set.
    Advertising,
}

/// A member of `context`, or of an object in it.
#[derive(Clone, Copy, Debug)]
struct Place {
    field: Field,
    /// What precedes the object, if the place is in one.
    within: Option<&'static [u8]>,
    /// What precedes the value.
    fragment: &'static [u8],
    rule: Rule,
}

const fn place(field: Field, within: Option<&'static [u8]>, fragment: &'static [u8], rule: Rule) -> Place {
    Place { field, within, fragment, rule }
}

/// All places; those within one object follow each other.
const PLACES: [Place; 31] = {
    use Field as F;
    use Rule::{Advertising, AsIs, DeviceId, Ip, NotNull, Session};
    let (app, device, os) = (Some(named!("app")), Some(named!("device")), Some(named!("os")));
    let (network, location) = (Some(named!("network")), Some(named!("location")));
    [
        place(F::InsertId, None, named!("insertId"), NotNull),
        place(F::EventId, None, named!("eventId"), AsIs),
        place(F::SessionId, None, named!("sessionId"), Session),
        place(F::Groups, None, named!("groups"), NotNull),
        place(F::Ip, None, named!("ip"), Ip),
        place(F::Language, None, named!("locale"), AsIs),
        place(F::UserAgent, None, named!("userAgent"), AsIs),
        place(F::AppVersion, app, named!("version"), AsIs),
        place(F::DeviceId, device, named!("id"), DeviceId),
        place(F::Platform, device, named!("type"), AsIs),
        place(F::DeviceBrand, device, named!("brand"), AsIs),
        place(F::DeviceManufacturer, device, named!("manufacturer"), AsIs),
        place(F::DeviceModel, device, named!("model"), AsIs),
        place(F::Idfa, device, named!("idfa"), AsIs),
        place(F::Adid, device, named!("adid"), AsIs),
        place(F::Idfa, device, named!("advertisingId"), Advertising),
        place(F::Idfv, device, named!("idfv"), AsIs),
        place(F::AndroidId, device, named!("androidId"), AsIs),
        place(F::AndroidAppSetId, device, named!("androidAppSetId"), AsIs),
        place(F::OsName, os, named!("name"), AsIs),
        place(F::OsVersion, os, named!("version"), AsIs),
        place(F::Carrier, network, named!("carrier"), AsIs),
        place(F::Country, location, named!("country"), AsIs),
        place(F::Region, location, named!("region"), AsIs),
        place(F::City, location, named!("city"), AsIs),
        place(F::Dma, location, named!("dma"), AsIs),
        place(F::LocationLat, location, named!("latitude"), AsIs),
        place(F::LocationLng, location, named!("longitude"), AsIs),
        place(F::Plan, None, named!("plan"), AsIs),
        place(F::PartnerId, None, named!("partnerId"), AsIs),
        place(F::IngestionMetadata, None, named!("ingestionMetadata"), AsIs),
    ]
};

/// The places of the fields that a converter has, by the object that they are in.
#[derive(Clone, Debug)]
pub(super) struct ContextPlan(Vec<(Option<&'static [u8]>, Vec<Place>)>);

impl ContextPlan {
    /// The plan for a converter that has these fields.
    pub(super) fn new(has: impl Fn(Field) -> bool) -> Self {
        let is_needed = |place: &Place| match place.rule {
            Rule::Advertising => has(Field::Idfa) || has(Field::Adid),
            _ => has(place.field),
        };
        let mut groups: Vec<(_, Vec<Place>)> = Vec::new();
        for place in PLACES.into_iter().filter(is_needed) {
            match groups.last_mut() {
                Some((within, places)) if *within == place.within => places.push(place),
                _ => groups.push((place.within, vec![place])),
            }
        }
        Self(groups)
    }

    /// Appends the members that have a value to an object that was begun.
    pub(super) fn write(&self, fields: &Fields<'_, '_>, device: Option<&str>, out: &mut Vec<u8>) {
        for (within, places) in &self.0 {
            let start = out.len();
            if let Some(fragment) = within {
                begin(fragment, out);
                out.push(b'{');
            }
            let opened = out.len();
            for place in places {
                let before = out.len();
                begin(place.fragment, out);
                if !write_place(place, fields, device, out) {
                    out.truncate(before);
                }
            }
            // An object without members is taken back.
            match within {
                Some(_) if out.len() == opened => out.truncate(start),
                Some(_) => out.push(b'}'),
                None => {}
            }
        }
    }
}

fn write_place(place: &Place, fields: &Fields<'_, '_>, device: Option<&str>, out: &mut Vec<u8>) -> bool {
    match place.rule {
        Rule::AsIs => fields.write(place.field, out),
        Rule::NotNull => match fields.value(place.field) {
            None | Some(Value::Null) => false,
            Some(value) => fields.write_value(&value, out),
        },
        Rule::DeviceId => {
            if let Some(device) = device {
                quoted::write(device.as_bytes(), false, out);
            }
            device.is_some()
        }
        Rule::Session => match fields.value(place.field).and_then(number) {
            Some(session) if !is_minus_one(&session) => fields.write_value(&session, out),
            _ => false,
        },
        Rule::Ip => match fields.value(place.field) {
            Some(ip) if ip.text().as_deref() != Some("$remote") => fields.write_value(&ip, out),
            _ => false,
        },
        Rule::Advertising => {
            let is_set = |value: &Value<'_>| value.text().is_some_and(|text| !text.trim().is_empty());
            let first = |field: Field| fields.value(field).filter(is_set);
            first(Field::Idfa)
                .or_else(|| first(Field::Adid))
                .is_some_and(|value| fields.write_value(&value, out))
        }
    }
}

/// A value that is to be a number: a text with the digits of a JSON number becomes that number, any other
/// stays. `None` for null and a blank text.
pub(super) fn number(value: Value<'_>) -> Option<Value<'_>> {
    let text = match &value {
        Value::Null => return None,
        Value::Text(text) => &**text,
        Value::Quoted(raw) => raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default(),
        _ => return Some(value),
    };
    if text.trim().is_empty() {
        return None;
    }
    let is_number =
        |scanned: json::Value| scanned.kind == ValueKind::Number && scanned.span.len() == text.len();
    if !Cursor::new(text.as_bytes(), 0).value().is_ok_and(is_number) {
        return Some(value);
    }
    // A number needs no escapes, so its text is what stands between the quotes.
    value.into_said().map(Value::Number)
}

fn is_minus_one(value: &Value<'_>) -> bool {
    match value {
        Value::Int(int) => *int == -1,
        Value::Number(digits) => digits == "-1" || digits == "-1.0",
        Value::Float(float) => *float == -1.0,
        _ => false,
    }
}
