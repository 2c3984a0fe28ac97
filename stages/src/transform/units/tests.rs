use super::*;

fn convert(value: f64, from: &str, to: &str) -> f64 {
    conversions(to).unwrap()[from].of(value).unwrap()
}

/// Whole numbers of the definitions, which come out to the last bit.
#[test]
fn known_pairs_are_exact() {
    for (value, from, expected, to) in [
        (0.0, "Cel", 273.15, "K"),
        (0.0, "K", -273.15, "Cel"),
        (32.0, "[degF]", 0.0, "Cel"),
        (212.0, "[degF]", 100.0, "Cel"),
        (-40.0, "[degF]", -40.0, "Cel"),
        (98.6, "[degF]", 37.0, "Cel"),
        (100.0, "Cel", 212.0, "[degF]"),
        (0.0, "K", -459.67, "[degF]"),
        (459.67, "[degR]", 0.0, "[degF]"),
        (1.0, "atm", 1_013.25, "hPa"),
        (1.0, "atm", 101.325, "kPa"),
        (1.0, "bar", 100.0, "kPa"),
        (1_013.25, "mbar", 1_013.25, "hPa"),
        (1.0, "[psi]", 6_894.757_293_168_362, "Pa"),
        (760.0, "mm[Hg]", 101_325.014_435_4, "Pa"),
        (1.0, "[in_i'Hg]", 25.4, "mm[Hg]"),
        (1.0, "mm[H2O]", 9.806_65, "Pa"),
        (1.0, "[ft_i]", 12.0, "[in_i]"),
        (1.0, "[mi_i]", 5_280.0, "[ft_i]"),
        (1.0, "[nmi_i]", 1.852, "km"),
        (1.0, "[gal_us]", 3.785_411_784, "L"),
        (1.0, "[gal_br]", 4.546_09, "l"),
        (1.0, "[cft_i]", 28.316_846_592, "L"),
        (60.0, "L/min", 3.6, "m3/h"),
        (1.0, "m3/s", 3_600.0, "m3/h"),
        (1.0, "[gal_us]/min", 3.785_411_784, "L/min"),
        (1.0, "[lb_av]", 453.592_37, "g"),
        (16.0, "[oz_av]", 1.0, "[lb_av]"),
        (3.6, "t/h", 1.0, "kg/s"),
        (1.0, "mg/L", 1.0, "g/m3"),
        (36.0, "km/h", 10.0, "m/s"),
        (1.0, "[kn_i]", 1.852, "km/h"),
        (100.0, "[mi_i]/h", 44.704, "m/s"),
        (1.0, "[g]", 9.806_65, "m/s2"),
        (1.0, "[lbf_av]", 4.448_221_615_260_5, "N"),
        (1.0, "kW.h", 3.6, "MJ"),
        (1.0, "kWh", 1_000.0, "W.h"),
        (3_600.0, "W.s", 1.0, "Wh"),
        (1.0, "[Btu_IT]", 1_055.055_852_62, "J"),
        (1.0, "kcal", 4.184, "kJ"),
        (1.0, "[HP]", 745.699_871_582_270_2, "W"),
        (1_500.0, "mA", 1.5, "A"),
        (0.4, "kV", 400.0, "V"),
        (1.0, "mS/cm", 1_000.0, "uS/cm"),
        (1.0, "Ah", 3_600.0, "C"),
        (3_000.0, "{rev}/min", 50.0, "Hz"),
        (1.0, "h", 3_600_000.0, "ms"),
        (1.0, "GiBy", 1_024.0, "MiBy"),
        (1.0, "MB/s", 8.0, "Mbit/s"),
        (0.5, "1", 50.0, "%"),
        (1.0, "%", 10_000.0, "ppm"),
        (45.0, "%RH", 0.45, "/"),
        (2.0, "klx", 2_000.0, "lx"),
        (180.0, "deg", PI, "rad"),
        (PI, "rad", 180.0, "deg"),
        (1.0, "{rev}", 360.0, "deg"),
        (90.0, "deg/s", PI / 2.0, "rad/s"),
    ] {
        assert_eq!(convert(value, from, to), expected, "{value} {from} in {to}");
    }
}

#[test]
fn every_unit_of_a_family_becomes_every_other_and_comes_back() {
    for family in FAMILIES {
        for to in family.units {
            let there = conversions(to.code).unwrap();
            assert_eq!(there.len(), family.units.len(), "{}: a code twice, or too large a number", to.code);
            for from in family.units {
                let back = conversions(from.code).unwrap()[to.code];
                for value in [-17.3, 0.0, 1.0, 1e-3, 42.195, 65_536.1] {
                    let returned = back.of(there[from.code].of(value).unwrap()).unwrap();
                    // A degree's zero lies as far as 460 away, and its last bits with it.
                    let size = f64::abs(value) + if family.quantity == "temperature" { 460.0 } else { 0.0 };
                    assert!((returned - value).abs() <= size * 1e-15, "{value} {} by {}", from.code, to.code);
                }
            }
        }
    }
}

#[test]
fn the_same_unit_changes_no_bit() {
    for value in [0.1, -0.0, 5e-324, f64::MAX, 21.4] {
        assert_eq!(convert(value, "Cel", "Cel").to_bits(), value.to_bits());
        assert_eq!(convert(value, "mbar", "hPa").to_bits(), value.to_bits());
    }
}

#[test]
fn what_no_float_holds_has_no_value() {
    assert_eq!(conversions("Pa").unwrap()["bar"].of(1e308), None);
    assert_eq!(conversions("bar").unwrap()["Pa"].of(1e308), Some(1e303));
}

#[test]
fn a_code_stands_once_in_all_families() {
    let mut codes: Vec<_> = all().map(|(_, unit)| unit.code).collect();
    let count = codes.len();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), count);
    for (name, code) in NAMES {
        assert!(find(code).is_ok(), "{name} leads to {code}");
        assert!(name.to_lowercase() == *name && codes.iter().all(|code| code != name), "{name}");
    }
}

#[test]
fn what_is_no_unit_is_told_with_the_one_meant() {
    for (text, near) in [
        ("C°", Some("Cel")),
        ("celsius", Some("Cel")),
        ("°F", Some("[degF]")),
        ("psi", Some("[psi]")),
        ("kpa", Some("kPa")),
        ("[psig]", Some("[psi]")),
        ("RPM", Some("{rev}/min")),
        ("m³/h", Some("m3/h")),
        ("furlong", None),
    ] {
        let message = quantity(text).unwrap_err();
        match near {
            Some(near) => assert!(message.contains(&format!("did you mean {near:?}")), "{message}"),
            None => assert!(message.contains("write a UCUM code"), "{message}"),
        }
    }
    assert_eq!(quantity("[mi_i]/h").unwrap(), "speed");
}

#[test]
fn the_page_for_users_lists_every_code() {
    let page = include_str!("../../../../docs/payloads.md");
    let (_, list) = page.split_once("| kind | units |").unwrap();
    let (list, _) = list.split_once("\n## ").unwrap();
    let mut listed: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    let mut codes: Vec<&str> = all().map(|(_, unit)| unit.code).collect();
    listed.sort_unstable();
    codes.sort_unstable();
    assert_eq!(listed, codes);
}
