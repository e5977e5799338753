//! The top-level fields of Amplitude's event and identify formats, and which of them a converter uses.

closed_list! {
    /// A field that has a place in a call.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Field by name and of {
        /// The name of the event.
        EventType = "event_type",
        /// The user.
        UserId = "user_id",
        /// The device.
        DeviceId = "device_id",
        /// When it happened.
        Time = "time",
        /// An id of the row, by which repeats are known.
        InsertId = "insert_id",
        /// Properties of the event.
        EventProperties = "event_properties",
        /// Properties of the user.
        UserProperties = "user_properties",
        /// The groups of the user: a name, or a list of names, by type.
        Groups = "groups",
        /// Properties of the groups.
        GroupProperties = "group_properties",
        /// The price of one piece.
        Price = "price",
        /// How many pieces.
        Quantity = "quantity",
        /// Price times quantity.
        Revenue = "revenue",
        /// What was sold.
        ProductId = "productId",
        /// The kind of sale.
        RevenueType = "revenueType",
        /// The currency of the sale.
        Currency = "currency",
        /// The version of the app.
        AppVersion = "app_version",
        /// The version of the app that the user began with.
        StartVersion = "start_version",
        /// Whether the user pays.
        Paying = "paying",
        /// The platform of the device.
        Platform = "platform",
        /// The brand of the device.
        DeviceBrand = "device_brand",
        /// The manufacturer of the device.
        DeviceManufacturer = "device_manufacturer",
        /// The model of the device.
        DeviceModel = "device_model",
        /// The operating system.
        OsName = "os_name",
        /// The version of the operating system.
        OsVersion = "os_version",
        /// The network.
        Carrier = "carrier",
        /// The language of the user.
        Language = "language",
        /// The user agent.
        UserAgent = "user_agent",
        /// The address of the user.
        Ip = "ip",
        /// The country.
        Country = "country",
        /// The region.
        Region = "region",
        /// The city.
        City = "city",
        /// The designated market area.
        Dma = "dma",
        /// The latitude.
        LocationLat = "location_lat",
        /// The longitude.
        LocationLng = "location_lng",
        /// The advertising id of an Apple device.
        Idfa = "idfa",
        /// The advertising id of an Android device.
        Adid = "adid",
        /// The vendor id of an Apple device.
        Idfv = "idfv",
        /// The id of an Android device.
        AndroidId = "android_id",
        /// The app set id of an Android device.
        AndroidAppSetId = "android_app_set_id",
        /// The session.
        SessionId = "session_id",
        /// A number that counts events.
        EventId = "event_id",
        /// The tracking plan.
        Plan = "plan",
        /// The partner.
        PartnerId = "partner_id",
        /// Where the row came from.
        IngestionMetadata = "ingestion_metadata",
        /// Whether `user_properties` describe this event alone.
        SkipUserPropertiesSync = "$skip_user_properties_sync",
        /// Whether the row inserts, updates or deletes.
        MutationType = "mutation_type",
    }
}

closed_list! {
    /// What the rows of an import are.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum DataType by name and of {
        /// What users did.
        Event = "event",
        /// What is known of users.
        UserProperties = "user_properties",
        /// What is known of groups of users.
        GroupProperties = "group_properties",
        /// The present state of users.
        Profiles = "profiles",
    }
}

closed_list! {
    /// What new rows do to earlier ones.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Strategy by name and of {
        /// They are added.
        AppendOnly = "append_only",
        /// They insert, update or delete.
        Mirror = "mirror",
    }
}

/// The strategy is not one of those that the data type has. Its code is `E-STRATEGY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} supports {} only", .0.name(), .0.strategies().first().map_or("", |strategy| strategy.name()))]
pub struct BadStrategy(pub DataType);

impl DataType {
    /// The strategies that the data type supports; the first is the default.
    pub fn strategies(self) -> &'static [Strategy] {
        match self {
            Self::Event => &[Strategy::AppendOnly, Strategy::Mirror],
            Self::UserProperties | Self::GroupProperties => &[Strategy::AppendOnly],
            Self::Profiles => &[Strategy::Mirror],
        }
    }

    /// The strategy if none is named.
    pub fn default_strategy(self) -> Strategy {
        match self {
            Self::Profiles => Strategy::Mirror,
            Self::Event | Self::UserProperties | Self::GroupProperties => Strategy::AppendOnly,
        }
    }

    /// Checks a strategy. Errors: [`BadStrategy`].
    pub fn check(self, strategy: Strategy) -> Result<(), BadStrategy> {
        if self.strategies().contains(&strategy) { Ok(()) } else { Err(BadStrategy(self)) }
    }

    /// Fields without which no row becomes a call. Of a list one is enough.
    pub(super) fn needs(self, strategy: Strategy) -> &'static [&'static [Field]] {
        match (self, strategy) {
            (Self::Event, Strategy::AppendOnly) => {
                &[&[Field::EventType], &[Field::UserId, Field::DeviceId, Field::GroupProperties]]
            }
            (Self::Event, Strategy::Mirror) => &[&[Field::EventType], &[Field::UserId], &[Field::InsertId]],
            (Self::UserProperties | Self::Profiles, _) => &[&[Field::UserId]],
            (Self::GroupProperties, _) => &[&[Field::Groups], &[Field::GroupProperties]],
        }
    }
}

impl Field {
    /// Whether rows of this kind use the field. It says nothing of `event_type`, which converters of all kinds
    /// have.
    pub(super) fn is_used(self, data_type: DataType, strategy: Strategy) -> bool {
        match self {
            Self::EventProperties
            | Self::Price
            | Self::Quantity
            | Self::Revenue
            | Self::ProductId
            | Self::RevenueType
            | Self::Currency => data_type == DataType::Event,
            Self::SkipUserPropertiesSync => data_type == DataType::Event && strategy == Strategy::AppendOnly,
            Self::GroupProperties => matches!(data_type, DataType::Event | DataType::GroupProperties),
            Self::StartVersion | Self::Paying => data_type != DataType::GroupProperties,
            Self::MutationType => strategy == Strategy::Mirror,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_strategies_are_refused_with_the_reason() {
        let check = |data_type: DataType, strategy: Strategy, expected: &str| {
            let found = data_type.check(strategy).map_or_else(|error| error.to_string(), |()| String::new());
            assert_eq!(found, expected);
        };
        check(DataType::Event, Strategy::Mirror, "");
        check(DataType::Event, Strategy::AppendOnly, "");
        check(DataType::Profiles, Strategy::Mirror, "");
        check(DataType::UserProperties, Strategy::Mirror, "user_properties supports append_only only");
        check(DataType::GroupProperties, Strategy::Mirror, "group_properties supports append_only only");
        check(DataType::Profiles, Strategy::AppendOnly, "profiles supports mirror only");
    }
}
