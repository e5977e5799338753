//! Writes the calls of one row.

use std::borrow::Cow;

use data_encoding::BASE32_NOPAD;

use super::context::{ContextPlan, number};
use super::field::{DataType, Field, Strategy};
use super::fields::{Fields, bad_type};
use super::members::{end_member, split_operations};
use super::mutation::Mutation;
use super::object_text::{begin, named, text_member};
use super::outcome::{Calls, RowReject};
use super::place::RowPlace;
use super::source::Source;
use super::unread::Unread;
use super::value::{self, Value, shown};
use crate::call::export_time::{self, Numbers};
use crate::json::{quoted, write_number};
use crate::time::UnixMillis;
use crate::words::date::EARLIEST;
use crate::words::grouped;

/// The fields of a sale. They become properties of the event.
const SALE: [(Field, &str); 6] = [
    (Field::Price, "price"),
    (Field::Quantity, "quantity"),
    (Field::Revenue, "revenue"),
    (Field::ProductId, "productId"),
    (Field::RevenueType, "revenueType"),
    (Field::Currency, "currency"),
];

/// The calls of one row, while they are written.
#[derive(Debug)]
pub(super) struct RowCalls<'w, 'r, 'e> {
    pub(super) fields: Fields<'r, 'e>,
    pub(super) context: &'e ContextPlan,
    pub(super) strategy: Strategy,
    pub(super) place: &'w RowPlace<'w>,
    /// The longest call, in bytes.
    pub(super) max_event: usize,
    /// The most bytes that `calls` may hold after this row.
    pub(super) bytes_max: usize,
    pub(super) calls: &'w mut Calls,
}

/// What all calls of a row have in common.
#[derive(Debug)]
struct Common<'e> {
    user: Option<Cow<'e, str>>,
    device: Option<Cow<'e, str>>,
    time: Option<Time<'e>>,
    /// The hash of `insert_id` and `device_id`, if it is the messageId.
    key: Option<u128>,
    mutation: Option<Mutation>,
    is_profile: bool,
}

/// The time of a call.
#[derive(Debug)]
enum Time<'e> {
    /// In the form of calls already.
    Text(Cow<'e, str>),
    At(UnixMillis),
}

/// One call, by what it says.
#[derive(Clone, Copy, Debug)]
enum Call<'c> {
    /// An event with this name.
    Event(&'c str),
    /// The properties of a user. Beside an event they are alone.
    Identify { beside_event: bool },
    /// The properties of a group, as JSON: the type of the group, its id, and how many came before.
    Group { group_type: &'c str, id: &'c str, properties: &'c [u8], index: usize },
}

impl<'e> RowCalls<'_, '_, 'e> {
    /// Writes all calls of the row. Returns its key if rows with the same key are dropped.
    /// Errors: [`RowReject`]; some calls may have been written.
    pub(super) fn write(&mut self, data_type: DataType) -> Result<Option<u128>, RowReject> {
        let user = self.fields.text(Field::UserId)?;
        let device = self.fields.text(Field::DeviceId)?;
        let is_mirror = self.strategy == Strategy::Mirror;
        let is_profile = data_type == DataType::Profiles;
        if user.is_none() && (is_mirror || matches!(data_type, DataType::UserProperties | DataType::Profiles))
        {
            return Err(missing("missing:user_id", "user_id"));
        }
        let is_event = data_type == DataType::Event;
        let insert_id = if is_event { self.fields.text(Field::InsertId)? } else { None };
        if is_mirror && is_event && insert_id.is_none() {
            return Err(missing("missing:insert_id", "insert_id"));
        }
        let mutation = if is_mirror {
            Some(Mutation::read(&self.fields, &[user.as_deref(), insert_id.as_deref()], self.place)?)
        } else {
            None
        };
        let key =
            insert_id.filter(|_| !is_mirror).map(|id| key_of(&id, device.as_deref().unwrap_or_default()));
        let common = Common { time: self.time()?, user, device, key, mutation, is_profile };
        match data_type {
            DataType::Event => self.event(&common)?,
            DataType::UserProperties | DataType::Profiles => {
                self.call(Call::Identify { beside_event: false }, &common)?;
            }
            DataType::GroupProperties => self.groups(&common)?,
        }
        Ok(common.key)
    }

    fn event(&mut self, common: &Common<'e>) -> Result<(), RowReject> {
        let name = self.fields.text(Field::EventType)?;
        let name = name.ok_or_else(|| missing("missing:event_type", "event_type"))?;
        if matches!(&*name, "$groupidentify" | "$groupIdentify") {
            return self.groups(common);
        }
        if common.user.is_none() && common.device.is_none() {
            return Err(missing("missing:user_id", "user_id or device_id"));
        }
        if name == "$identify" {
            return self.call(Call::Identify { beside_event: false }, common);
        }
        // Strategy mirror changes events alone.
        let updates_user = self.strategy == Strategy::AppendOnly
            && self
                .fields
                .value(Field::SkipUserPropertiesSync)
                .is_some_and(|skip| !matches!(skip, Value::Null) && !skip.is_true())
            && self.fields.value(Field::UserProperties).is_some_and(|value| value != Value::Null);
        if updates_user {
            self.call(Call::Identify { beside_event: true }, common)?;
        }
        self.call(Call::Event(&name), common)
    }

    /// One call for each group, and for each value where a group has a list of them.
    fn groups(&mut self, common: &Common<'e>) -> Result<(), RowReject> {
        let mut properties = Vec::new();
        let groups = self.fields.value(Field::Groups).filter(|groups| *groups != Value::Null);
        let groups = match groups {
            Some(Value::Object(groups)) => groups,
            Some(other) => return Err(bad_type(Field::Groups, "an object", &other)),
            None => return Err(missing("missing:groups", "groups")),
        };
        if !self.fields.write_object(Field::GroupProperties, &mut properties)? {
            return Err(missing("missing:group_properties", "group_properties"));
        }
        let mut index = 0;
        for (group_type, value) in value::members(&groups) {
            let ids =
                if let Value::List(list) = &value { value::elements(list) } else { vec![value.borrowed()] };
            for id in &ids {
                let id = match id.said() {
                    Some(id) if !id.trim().is_empty() => id,
                    None if *id != Value::Null => return Err(bad_group(&group_type, id)),
                    _ => continue,
                };
                let call = Call::Group { group_type: &group_type, id: &id, properties: &properties, index };
                self.call(call, common)?;
                index += 1;
            }
        }
        if index == 0 { Err(missing("missing:groups", "group in groups")) } else { Ok(()) }
    }

    /// The time of the calls.
    fn time(&self) -> Result<Option<Time<'e>>, RowReject> {
        let Some(source) = self.fields.sources.get(Field::Time) else { return Ok(None) };
        let Some(value) = self.time_of(source)? else { return Ok(None) };
        let is_ms = source.is_ms();
        let numbers = if is_ms { Numbers::Unix(1_000_000) } else { Numbers::ByMagnitude };
        let text = match &value {
            Value::Null => return Ok(None),
            Value::Int(int) => Cow::Owned(int.to_string()),
            Value::Float(_) | Value::Number(_) => match value.said() {
                Some(plain) if export_time::is_number(plain.as_bytes()) => plain,
                // A number with an exponent is written out first.
                _ => match value.decimal().and_then(|number| number.cut()) {
                    Some(int) => Cow::Owned(int.to_string()),
                    None => return Err(bad_time(&value, "is not a time")),
                },
            },
            other => match other.said() {
                Some(text) if text.trim().is_empty() => return Ok(None),
                Some(text) => text,
                None => return Err(bad_time(&value, "is not a time")),
            },
        };
        let is_as_written = export_time::is_as_written(text.as_bytes());
        match export_time::parse(text.as_bytes(), numbers) {
            Some(at) if at < EARLIEST => {
                Err(bad_time(&value, "is before 1970, which the time of a call cannot be"))
            }
            Some(_) if is_as_written => Ok(value.into_said().map(Time::Text)),
            Some(at) => Ok(Some(Time::At(at))),
            None => Err(bad_time(&value, "is not a time (ISO 8601, or Unix time of 1990 to 2099)")),
        }
    }

    /// The value of the time, if the row has one. A time that the row has and an operator cannot read is no
    /// missing one: the call would get the time of the import in its place, and nobody would notice.
    fn time_of(&self, source: &'e Source) -> Result<Option<Value<'e>>, RowReject> {
        let (value, unread) = self.fields.evaluation.value_and_unread(source);
        match (value, unread.first()) {
            (None, Some(Unread { operator, value })) => {
                let operator = operator.name();
                Err(RowReject::new("bad-time", format!("{operator} cannot read the time: {value}")))
            }
            (value, _) => Ok(value),
        }
    }

    fn call(&mut self, call: Call<'_>, common: &Common<'e>) -> Result<(), RowReject> {
        self.write_call(call, common)?;
        let bytes = self.calls.end();
        if bytes > self.max_event {
            let (bytes, max) = (grouped(bytes as u64), grouped(self.max_event as u64));
            let what = format!("the call has {bytes} bytes of JSON; the limit is {max}");
            return Err(RowReject::new("too-large", what));
        }
        if self.calls.bytes() > self.bytes_max || self.fields.evaluation.is_too_large() {
            let what = "the row gives more than 1 MiB of calls".to_owned();
            return Err(RowReject::new("too-large", what));
        }
        Ok(())
    }

    fn write_call(&mut self, call: Call<'_>, common: &Common<'e>) -> Result<(), RowReject> {
        let Self { fields, calls, .. } = self;
        let out = calls.out();
        let head = match call {
            Call::Event(_) => r#"{"type":"track","messageId":""#,
            Call::Identify { .. } => r#"{"type":"identify","messageId":""#,
            Call::Group { .. } => r#"{"type":"group","messageId":""#,
        };
        out.extend_from_slice(head.as_bytes());
        write_id(call, common.key, self.place, out);
        if let Some(user) = &common.user {
            text_member(named!("userId"), user, out);
        }
        match (&common.device, call) {
            (Some(device), _) => text_member(named!("anonymousId"), device, out),
            // A call needs an id.
            (None, Call::Group { id, .. }) if common.user.is_none() => {
                text_member(named!("anonymousId"), id, out)
            }
            _ => {}
        }
        match &common.time {
            Some(Time::Text(text)) => text_member(named!("timestamp"), text, out),
            Some(Time::At(at)) => {
                begin(named!("timestamp"), out);
                export_time::write(*at, out);
            }
            None => {}
        }
        let mut operations = None;
        match call {
            Call::Event(event) => {
                text_member(named!("event"), event, out);
                write_properties(fields, out)?;
            }
            Call::Identify { beside_event } => {
                operations = write_traits(fields, self.strategy, !beside_event, out)?;
            }
            Call::Group { id, properties, .. } => {
                text_member(named!("groupId"), id, out);
                begin(named!("traits"), out);
                out.extend_from_slice(properties);
            }
        }
        let before = out.len();
        begin(named!("context"), out);
        out.push(b'{');
        self.context.write(fields, common.device.as_deref(), out);
        if let Call::Group { group_type, .. } = call {
            text_member(named!("groupType"), group_type, out);
        }
        if !matches!(call, Call::Identify { .. }) {
            operations = write_traits(fields, self.strategy, false, out)?;
        }
        if let Some(operations) = operations {
            begin(named!("userPropertyOperations"), out);
            out.extend_from_slice(&operations);
        }
        if common.is_profile {
            begin(named!("profile"), out);
            out.extend_from_slice(b"true");
        }
        if let Some(mutation) = &common.mutation {
            mutation.write(out);
        }
        if out.last() == Some(&b'{') {
            out.truncate(before)
        } else {
            out.push(b'}')
        }
        out.push(b'}');
        Ok(())
    }
}

/// Ends the messageId, which was begun, with its quote.
fn write_id(call: Call<'_>, key: Option<u128>, place: &RowPlace<'_>, out: &mut Vec<u8>) {
    match key {
        Some(key) => {
            out.extend_from_slice(b"amp_");
            let text = BASE32_NOPAD.encode(&key.to_be_bytes()).to_ascii_lowercase();
            out.extend_from_slice(text.as_bytes());
        }
        None => {
            let prefix = place.id_prefix.as_bytes();
            if quoted::is_plain(prefix) {
                out.extend_from_slice(prefix)
            } else {
                quoted::write_escaped(prefix, out)
            }
            write_number(out, place.row);
        }
    }
    match call {
        Call::Identify { beside_event: true } => out.extend_from_slice(b"_identify"),
        Call::Group { index, .. } if index > 0 => {
            out.push(b'_');
            write_number(out, index as u64);
        }
        _ => {}
    }
    out.push(b'"');
}

/// Writes `properties`: those of the event, and the numbers of a sale.
fn write_properties(fields: &Fields<'_, '_>, out: &mut Vec<u8>) -> Result<(), RowReject> {
    let sources = fields.sources;
    let has_sale = SALE.iter().any(|(field, _)| sources.get(*field).is_some());
    if !has_sale && sources.get(Field::EventProperties).is_none() {
        return Ok(());
    }
    let before = out.len();
    begin(named!("properties"), out);
    let start = out.len();
    let has_properties = fields.write_object(Field::EventProperties, out)?;
    let mut sale = Vec::new();
    for (field, name) in SALE {
        let Some(value) = fields.value(field) else { continue };
        let is_number = matches!(field, Field::Price | Field::Quantity | Field::Revenue);
        let value = if is_number { number(value) } else { Some(value) };
        sale.extend(value.map(|value| (name, value)));
    }
    end_member((before, start), has_properties, &sale, out);
    Ok(())
}

/// Writes `traits`: the user's properties, in an identify call with `start_version` and `paying`. Returns the
/// operations on properties, if there are any; strategy mirror leaves them where they are.
fn write_traits(
    fields: &Fields<'_, '_>,
    strategy: Strategy,
    is_identify: bool,
    out: &mut Vec<u8>,
) -> Result<Option<Vec<u8>>, RowReject> {
    if !is_identify && fields.sources.get(Field::UserProperties).is_none() {
        return Ok(None);
    }
    let before = out.len();
    begin(named!("traits"), out);
    let start = out.len();
    let mut has_traits = fields.write_object(Field::UserProperties, out)?;
    let mut operations = None;
    if has_traits && strategy == Strategy::AppendOnly {
        operations = split_operations(start, out);
        has_traits = out.len() > start;
    }
    let mut more = Vec::new();
    if is_identify {
        for (field, name) in [(Field::StartVersion, "start_version"), (Field::Paying, "paying")] {
            more.extend(fields.value(field).map(|value| (name, value)));
        }
    }
    end_member((before, start), has_traits, &more, out);
    Ok(operations)
}

/// The hash of an `insert_id` and a `device_id`.
fn key_of(insert_id: &str, device: &str) -> u128 {
    let mut hasher = blake3::Hasher::new();
    for part in [insert_id, device] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    let mut bits = [0; 16];
    hasher.finalize_xof().fill(&mut bits);
    u128::from_be_bytes(bits)
}

fn missing(code: &'static str, what: &str) -> RowReject {
    RowReject::new(code, format!("the row has no {what}"))
}

fn bad_time(value: &Value<'_>, what: &str) -> RowReject {
    RowReject::new("bad-time", format!("time {what}: {}", shown(value)))
}

fn bad_group(group_type: &str, id: &Value<'_>) -> RowReject {
    let group_type = shown(&Value::Text(group_type.into()));
    RowReject::new("bad-type", format!("the group {group_type} is not a text: {}", shown(id)))
}
