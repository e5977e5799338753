//! The names under which fields are known.

use crate::convert::field::Field;

/// What the values of a column must be, so that it can be a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Neither objects nor lists.
    Plain,
    /// Numbers, also as texts.
    Number,
    /// Times.
    Time,
    /// Objects, or texts with the JSON of objects.
    Object,
}

/// A field, what its values must be, and the names that mean it: the first one that a sample has counts. They
/// are written as [`folded`] writes names.
pub(super) const KNOWN: [(Field, Shape, &[&str]); 45] = {
    use Field as F;
    use Shape::{Number, Object, Plain, Time};
    [
        (F::EventType, Plain, &["eventtype", "event", "eventname", "action", "activity"]),
        (F::UserId, Plain, &["userid", "user", "uid", "customerid", "memberid", "playerid"]),
        (F::DeviceId, Plain, &["deviceid", "anonymousid", "visitorid", "clientid", "cookieid"]),
        (F::Time, Time, &TIMES),
        (F::InsertId, Plain, &["insertid", "messageid", "eventuuid", "dedupid", "deduplicationid"]),
        (F::EventProperties, Object, &["eventproperties", "properties", "eventprops", "props"]),
        (F::UserProperties, Object, &["userproperties", "traits", "userattributes", "userprops"]),
        (F::Groups, Object, &["groups"]),
        (F::GroupProperties, Object, &["groupproperties"]),
        (F::Price, Number, &["price"]),
        (F::Quantity, Number, &["quantity"]),
        (F::Revenue, Number, &["revenue"]),
        (F::ProductId, Plain, &["productid"]),
        (F::RevenueType, Plain, &["revenuetype"]),
        (F::Currency, Plain, &["currency"]),
        (F::AppVersion, Plain, &["appversion", "versionname"]),
        (F::StartVersion, Plain, &["startversion"]),
        (F::Paying, Plain, &["paying"]),
        (F::Platform, Plain, &["platform"]),
        (F::DeviceBrand, Plain, &["devicebrand"]),
        (F::DeviceManufacturer, Plain, &["devicemanufacturer"]),
        (F::DeviceModel, Plain, &["devicemodel"]),
        (F::OsName, Plain, &["osname", "os"]),
        (F::OsVersion, Plain, &["osversion"]),
        (F::Carrier, Plain, &["carrier"]),
        (F::Language, Plain, &["language", "locale"]),
        (F::UserAgent, Plain, &["useragent"]),
        (F::Ip, Plain, &["ip", "ipaddress"]),
        (F::Country, Plain, &["country"]),
        (F::Region, Plain, &["region"]),
        (F::City, Plain, &["city"]),
        (F::Dma, Plain, &["dma"]),
        (F::LocationLat, Number, &["locationlat", "latitude", "lat"]),
        (F::LocationLng, Number, &["locationlng", "longitude", "lng", "lon"]),
        (F::Idfa, Plain, &["idfa"]),
        (F::Adid, Plain, &["adid", "gaid"]),
        (F::Idfv, Plain, &["idfv"]),
        (F::AndroidId, Plain, &["androidid"]),
        (F::AndroidAppSetId, Plain, &["androidappsetid"]),
        (F::SessionId, Number, &["sessionid"]),
        (F::EventId, Number, &["eventid"]),
        (F::Plan, Object, &["plan"]),
        (F::PartnerId, Plain, &["partnerid"]),
        (F::IngestionMetadata, Object, &["ingestionmetadata"]),
        (F::MutationType, Plain, &["mutationtype"]),
    ]
};

/// Names of times. That of the event itself comes before those of its way.
const TIMES: [&str; 19] = [
    "time", "timestamp", "eventtime", "eventtimestamp", "clienteventtime", "originaltimestamp", "occurredat",
    "datetime", "eventdate", "date", "ts", "epoch", "epochms", "unixtime", "at", "createdat", "sentat",
    "receivedat", "updatedat",
];

/// Names of columns that hold the id of one group, without what they end in: `company_id` names a company.
pub(super) const GROUPS: [&str; 8] =
    ["group", "company", "account", "organization", "organisation", "org", "team", "workspace"];

/// A name as it is compared: letters and digits alone, in lower case. `user_id`, `userId` and `User ID` are
/// one name.
pub(super) fn folded(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_and_mean_one_field() {
        assert_eq!(["user_id", "userId", "User ID", "$user.id"].map(folded), ["userid"; 4]);
        let mut names: Vec<&str> = KNOWN.iter().flat_map(|(.., names)| names.iter().copied()).collect();
        assert!(names.iter().all(|name| folded(name) == *name));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        // `$skip_user_properties_sync` is no column that files have by chance.
        assert_eq!(KNOWN.len() + 1, Field::ALL.len());
    }
}
