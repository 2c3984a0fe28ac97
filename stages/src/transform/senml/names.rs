//! Which device and which metric a SenML name means ([RFC 8428, section 4.5.1]).
//!
//! A name is unique in the world, and does not say where in it a device ends.
//!
//! - Where the topic names the device, the metric is what follows the device in the name, if the name
//!   begins with it (after `urn:…:`, if need be), and the whole name otherwise.
//! - Where it does not, the base name is the device, and the name the metric; a name without base name
//!   is a device.
//! - Where nothing is left for the metric, it is the unit, since several quantities may share a name
//!   (section 5.1.3), or `value` where there is none.
//!
//! [RFC 8428, section 4.5.1]: https://www.rfc-editor.org/rfc/rfc8428#section-4.5.1

use std::borrow::Cow;

/// What stands between the parts of a name; `_` in device URNs ([RFC 9039](https://www.rfc-editor.org/rfc/rfc9039)).
const SEPARATORS: [char; 5] = [':', '/', '.', '_', '-'];

/// The metric of a record that has only a value.
const VALUE: &str = "value";

/// Checks the characters of a name or, with `whole`, of the beginning of one.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(name: &str, whole: bool) -> Result<(), String> {
    let allowed = |char: char| char.is_ascii_alphanumeric() || "-:./_".contains(char);
    if let Some(char) = name.chars().find(|char| !allowed(*char)) {
        return Err(format!(
            "{char:?} may not stand in a name, only letters, digits and - : . / _ (section 4.5.1)"
        ));
    }
    let begins = name.is_empty() || name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if whole && !begins {
        return Err(format!("{name:?} must begin with a letter or a digit (section 4.5.1)"));
    }
    Ok(())
}

/// The device and the metric of a record; none where nothing names a device. `device` is that of the
/// topic, or empty.
pub(super) fn split<'a>(
    device: &Cow<'a, str>,
    base: &Cow<'a, str>,
    name: &Cow<'a, str>,
    unit: Option<&Cow<'a, str>>,
) -> Option<(Cow<'a, str>, Cow<'a, str>)> {
    let (device, metric) = if !device.is_empty() {
        let whole = match (base.is_empty(), name.is_empty()) {
            (true, _) => name.clone(),
            (_, true) => base.clone(),
            _ => Cow::Owned(format!("{base}{name}")),
        };
        (device.clone(), part(&whole, |whole| after(whole, device).unwrap_or(whole)))
    } else if base.is_empty() {
        (name.clone(), Cow::Borrowed(""))
    } else {
        (
            part(base, |base| base.trim_end_matches(SEPARATORS)),
            part(name, |name| name.trim_start_matches(SEPARATORS)),
        )
    };
    let metric = match (metric.is_empty(), unit) {
        (false, _) => metric,
        (true, Some(unit)) => unit.clone(),
        (true, None) => Cow::Borrowed(VALUE),
    };
    (!device.is_empty()).then_some((device, metric))
}

/// What follows `device` in a name that begins with it.
fn after<'n>(name: &'n str, device: &str) -> Option<&'n str> {
    let begins = |before: &str| before.is_empty() || before.starts_with("urn:") && before.ends_with(':');
    let rest = |(start, device): (usize, &str)| {
        let (before, rest) = (name.get(..start)?, name.get(start + device.len()..)?);
        let ends = rest.is_empty() || rest.starts_with(SEPARATORS);
        (begins(before) && ends).then(|| rest.trim_start_matches(SEPARATORS))
    };
    name.match_indices(device).find_map(rest)
}

/// A part of a text, borrowed where that is.
fn part<'a>(text: &Cow<'a, str>, of: impl Fn(&str) -> &str) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(of(text)),
        Cow::Owned(text) => Cow::Owned(of(text).to_owned()),
    }
}
