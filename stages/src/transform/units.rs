//! Units that can be converted into each other.
//!
//! Codes are those of [UCUM]; where SenML ([RFC 8428, section 12.1][units], [RFC 8798]) writes a unit
//! otherwise (`kWh`, `ppm`, `B` for byte), that is known, too.
//!
//! [UCUM]: https://ucum.org/ucum
//! [units]: https://www.rfc-editor.org/rfc/rfc8428#section-12.1
//! [RFC 8798]: https://www.rfc-editor.org/rfc/rfc8798

mod table;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, f64::consts::PI};

use self::table::{FAMILIES, NAMES};

/// Units of one kind of quantity.
struct Family {
    quantity: &'static str,
    units: &'static [Unit],
}

/// One of a unit is `over / under` of its family's reference, after which `zero` is added: a fraction,
/// for scales of temperature that begin elsewhere.
struct Unit {
    code: &'static str,
    over: i128,
    under: i128,
    zero: (i128, i128),
    /// Whether `over` is to be taken times π.
    pi: bool,
}

/// What turns a value in one unit into the value in another.
///
/// It is made of whole numbers wherever the units are defined by such, so that 212 °F are 100 °C and
/// nothing behind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Conversion {
    multiply: f64,
    add: f64,
    divide: f64,
}

impl Conversion {
    /// The value in the other unit; none where a 64-bit float cannot hold it.
    pub(super) fn of(&self, value: f64) -> Option<f64> {
        let same = self.multiply == self.divide && self.add == 0.0;
        let converted = if same { value } else { (value * self.multiply + self.add) / self.divide };
        converted.is_finite().then_some(converted)
    }

    /// By `from.over / from.under × value + from.zero = to.over / to.under × converted + to.zero`; none
    /// where the numbers grow beyond 128 bits, which those of the table do not.
    fn between(from: &Unit, to: &Unit) -> Option<Self> {
        let over = from.over.checked_mul(to.under)?;
        let under = from.under.checked_mul(to.over)?;
        let (from_zero, to_zero) = (from.zero.0.checked_mul(to.zero.1)?, to.zero.0.checked_mul(from.zero.1)?);
        let add = from_zero.checked_sub(to_zero)?.checked_mul(to.under)?;
        let add_under = from.zero.1.checked_mul(to.zero.1)?.checked_mul(to.over)?;
        // All over one denominator, and that as small as it can be.
        let (add, add_under) = reduced(add, add_under);
        let (over, under) = reduced(over, under);
        let multiply = over.checked_mul(add_under)?;
        let divide = under.checked_mul(add_under)?;
        let add = add.checked_mul(under)?;
        let common = divisor(divisor(multiply, divide), add);
        #[expect(clippy::cast_precision_loss, reason = "rounded once, where it has more than 53 bits")]
        let float = |number: i128| (number / common) as f64;
        let pi = |unit: &Unit| if unit.pi { PI } else { 1.0 };
        let same = from.pi == to.pi;
        Some(Self {
            multiply: float(multiply) * if same { 1.0 } else { pi(from) },
            add: float(add),
            divide: float(divide) * if same { 1.0 } else { pi(to) },
        })
    }
}

/// A fraction in lowest terms.
const fn reduced(over: i128, under: i128) -> (i128, i128) {
    let common = divisor(over, under);
    (over / common, under / common)
}

/// The greatest common divisor, at least 1.
const fn divisor(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    if a == 0 { 1 } else { a.abs() }
}

/// How each unit of the same kind becomes `to`, itself included.
///
/// # Errors
/// What is wrong with a unit that is not known.
pub(super) fn conversions(to: &str) -> Result<BTreeMap<&'static str, Conversion>, String> {
    let (family, to) = find(to)?;
    let conversion = |from: &Unit| Some((from.code, Conversion::between(from, to)?));
    Ok(family.units.iter().filter_map(conversion).collect())
}

/// What kind of quantity is measured in `code`.
///
/// # Errors
/// What is wrong with a unit that is not known.
pub(super) fn quantity(code: &str) -> Result<&'static str, String> {
    find(code).map(|(family, _)| family.quantity)
}

fn find(code: &str) -> Result<(&'static Family, &'static Unit), String> {
    all().find(|(_, unit)| unit.code == code).ok_or_else(|| match nearest(code) {
        Some(near) => format!("{code:?} is no unit that can be converted; did you mean {near:?}?"),
        None => format!(
            "{code:?} is no unit that can be converted; write a UCUM code such as \"Cel\", or use `scale` and `offset`"
        ),
    })
}

fn all() -> impl Iterator<Item = (&'static Family, &'static Unit)> {
    FAMILIES.iter().flat_map(|family| family.units.iter().map(move |unit| (family, unit)))
}

/// The code that is probably meant.
fn nearest(text: &str) -> Option<&'static str> {
    /// How alike two codes must be, from 0 to 1.
    const ALIKE: f64 = 0.8;
    let lower = text.to_lowercase();
    let named = NAMES.iter().find(|(name, _)| *name == lower).map(|(_, code)| *code);
    let codes = || all().map(|(_, unit)| unit.code);
    let in_another_case = || codes().find(|code| code.to_lowercase() == lower);
    let alike = || {
        let likeness = |code: &'static str| (strsim::jaro_winkler(text, code), code);
        let (likeness, code) = codes().map(likeness).max_by(|(a, _), (b, _)| a.total_cmp(b))?;
        (likeness >= ALIKE).then_some(code)
    };
    named.or_else(in_another_case).or_else(alike)
}
