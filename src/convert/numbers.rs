//! The operators of numbers.

use super::source::Arithmetic;
use super::value::Value;

/// The value as a whole number; null is zero, a fraction is dropped.
pub(super) fn int(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(int) => Some(i128::from(*int)),
        other => other.decimal()?.cut(),
    }
}

/// The value as a floating-point number; null is zero.
pub(super) fn float(value: &Value<'_>) -> Option<f64> {
    // The check of the form leaves out words such as `inf`.
    value.decimal()?;
    match value {
        Value::Null => Some(0.0),
        Value::Float(float) => Some(*float),
        other => other.said()?.trim_ascii().parse().ok(),
    }
}

/// One step of whole numbers. `None` if 128 bits cannot hold the result, or by a division by zero.
pub(super) fn int_of(arithmetic: Arithmetic, one: i128, other: i128) -> Option<i128> {
    match arithmetic {
        Arithmetic::Add => one.checked_add(other),
        Arithmetic::Subtract => one.checked_sub(other),
        Arithmetic::Multiply => one.checked_mul(other),
        Arithmetic::Divide => one.checked_div(other),
    }
}

/// One step of floating-point numbers. `None` by a division by zero.
pub(super) fn float_of(arithmetic: Arithmetic, one: f64, other: f64) -> Option<f64> {
    Some(match arithmetic {
        Arithmetic::Add => one + other,
        Arithmetic::Subtract => one - other,
        Arithmetic::Multiply => one * other,
        Arithmetic::Divide if other == 0.0 => return None,
        Arithmetic::Divide => one / other,
    })
}
