//! What the values of a column mean.

use ::parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use ::parquet::schema::types::Type;

/// What the values of a column mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Always null.
    Nothing,
    Bool,
    /// A whole number with a sign.
    Int,
    /// A whole number without a sign, in 32 bits.
    Unsigned32,
    /// A whole number without a sign, in 64 bits.
    Unsigned64,
    Float16,
    Float32,
    Float64,
    /// A number with this many digits after the point.
    Decimal(usize),
    Date,
    Time(Fraction),
    Timestamp(Fraction),
    Uuid,
    /// UTF-8.
    Text,
    /// Bytes without a form in JSON: base64.
    Bytes,
}

impl Kind {
    /// Whether its values are said in a text of their own.
    pub(super) fn is_said(self) -> bool {
        match self {
            Self::Date | Self::Time(_) | Self::Timestamp(_) | Self::Float32 => true,
            Self::Decimal(_) | Self::Uuid | Self::Bytes => true,
            Self::Nothing | Self::Bool | Self::Int | Self::Unsigned32 | Self::Unsigned64 => false,
            Self::Float16 | Self::Float64 | Self::Text => false,
        }
    }
}

/// The part of a second that a time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fraction {
    Millis,
    Micros,
    Nanos,
}

impl Fraction {
    fn of(unit: TimeUnit) -> Self {
        match unit {
            TimeUnit::MILLIS => Self::Millis,
            TimeUnit::MICROS => Self::Micros,
            TimeUnit::NANOS => Self::Nanos,
        }
    }

    /// How many make a second.
    pub(super) fn per_second(self) -> i64 {
        match self {
            Self::Millis => 1_000,
            Self::Micros => 1_000_000,
            Self::Nanos => 1_000_000_000,
        }
    }

    /// How many digits it has.
    pub(super) fn digits(self) -> usize {
        match self {
            Self::Millis => 3,
            Self::Micros => 6,
            Self::Nanos => 9,
        }
    }
}

/// The most digits after the point of a decimal number. The format has no limit; 76 digits are the most that
/// writers of it have.
const SCALE_MAX: i32 = 1_000;

impl Kind {
    /// What the values of a column of this type mean. Errors: what kind of values cannot be read.
    pub(super) fn of(column: &Type) -> Result<Self, String> {
        let physical = column.get_physical_type();
        let about = column.get_basic_info();
        let meant = match about.logical_type_ref() {
            Some(logical) => Self::of_logical(logical)?,
            None => Self::of_converted(about.converted_type(), column)?,
        };
        let Some(meant) = meant else { return Ok(Self::of_physical(physical)) };
        meant.checked(column).ok_or_else(|| format!("{meant:?} values in {physical}"))
    }

    fn of_logical(logical: &LogicalType) -> Result<Option<Self>, String> {
        Ok(Some(match logical {
            LogicalType::String | LogicalType::Enum | LogicalType::Json => Self::Text,
            LogicalType::Decimal(decimal) => Self::decimal(decimal.scale)?,
            LogicalType::Date => Self::Date,
            LogicalType::Time(time) => Self::Time(Fraction::of(time.unit)),
            LogicalType::Timestamp(time) => Self::Timestamp(Fraction::of(time.unit)),
            LogicalType::Integer(int) => match (int.is_signed, int.bit_width) {
                (true, _) => Self::Int,
                (false, 64) => Self::Unsigned64,
                (false, _) => Self::Unsigned32,
            },
            LogicalType::Unknown => Self::Nothing,
            LogicalType::Bson | LogicalType::Geometry(_) | LogicalType::Geography(_) => Self::Bytes,
            LogicalType::Uuid => Self::Uuid,
            LogicalType::Float16 => Self::Float16,
            LogicalType::Variant(_) => return Err("VARIANT".to_owned()),
            LogicalType::Map => return Err("a map in one value".to_owned()),
            LogicalType::List => return Err("a list in one value".to_owned()),
            LogicalType::File => return Err("FILE".to_owned()),
            _ => return Err("a type that is newer than this program".to_owned()),
        }))
    }

    fn of_converted(converted: ConvertedType, column: &Type) -> Result<Option<Self>, String> {
        Ok(Some(match converted {
            ConvertedType::NONE => return Ok(None),
            ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON => Self::Text,
            ConvertedType::BSON => Self::Bytes,
            ConvertedType::DECIMAL => Self::decimal(column.get_scale())?,
            ConvertedType::DATE => Self::Date,
            ConvertedType::TIME_MILLIS => Self::Time(Fraction::Millis),
            ConvertedType::TIME_MICROS => Self::Time(Fraction::Micros),
            ConvertedType::TIMESTAMP_MILLIS => Self::Timestamp(Fraction::Millis),
            ConvertedType::TIMESTAMP_MICROS => Self::Timestamp(Fraction::Micros),
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 => Self::Unsigned32,
            ConvertedType::UINT_64 => Self::Unsigned64,
            ConvertedType::INT_8 | ConvertedType::INT_16 | ConvertedType::INT_32 | ConvertedType::INT_64 => {
                Self::Int
            }
            ConvertedType::INTERVAL => return Err("INTERVAL".to_owned()),
            ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE | ConvertedType::LIST => {
                return Err("a list or map in one value".to_owned());
            }
        }))
    }

    fn decimal(scale: i32) -> Result<Self, String> {
        // -1: the type does not say, so there is none.
        match usize::try_from(scale.max(0)) {
            Ok(scale_of_it) if (-1..=SCALE_MAX).contains(&scale) => Ok(Self::Decimal(scale_of_it)),
            _ => Err(format!("DECIMAL with a scale of {scale}")),
        }
    }

    /// What values without a meaning of their own are.
    fn of_physical(physical: Physical) -> Self {
        match physical {
            Physical::BOOLEAN => Self::Bool,
            Physical::INT32 | Physical::INT64 => Self::Int,
            Physical::FLOAT => Self::Float32,
            Physical::DOUBLE => Self::Float64,
            Physical::INT96 | Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY => Self::Bytes,
        }
    }

    /// The same, if values of this column can mean it.
    fn checked(self, column: &Type) -> Option<Self> {
        let physical = column.get_physical_type();
        let len = match column {
            Type::PrimitiveType { type_length, .. } => *type_length,
            Type::GroupType { .. } => 0,
        };
        let fixed = |bytes| physical == Physical::FIXED_LEN_BYTE_ARRAY && len == bytes;
        let is_bytes = matches!(physical, Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY);
        let is_whole = matches!(physical, Physical::INT32 | Physical::INT64);
        let fits = match self {
            Self::Nothing => true,
            Self::Bool => physical == Physical::BOOLEAN,
            Self::Int => is_whole,
            Self::Unsigned32 | Self::Date => physical == Physical::INT32,
            Self::Unsigned64 | Self::Timestamp(_) => physical == Physical::INT64,
            Self::Time(Fraction::Millis) => physical == Physical::INT32,
            Self::Time(_) => physical == Physical::INT64,
            Self::Float16 => fixed(2),
            Self::Float32 => physical == Physical::FLOAT,
            Self::Float64 => physical == Physical::DOUBLE,
            Self::Decimal(_) => is_whole || is_bytes,
            Self::Uuid => fixed(16),
            Self::Text | Self::Bytes => is_bytes,
        };
        fits.then_some(self)
    }
}
