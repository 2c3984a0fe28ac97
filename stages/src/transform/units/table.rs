//! The units, by kind, each family's reference first.
//!
//! Factors are the definitions themselves, which [NIST SP 811, appendix B] gives exactly or rounds: the
//! inch is 0.0254 m, the pound 0.45359237 kg, standard gravity 9.80665 m/s², the US gallon 231 cubic
//! inches, the British thermal unit the international one of 1055.05585262 J, the calorie the
//! thermochemical one of 4.184 J, mercury the conventional one of 13.5951 g/cm³, water that of 1 g/cm³.
//!
//! [NIST SP 811, appendix B]: https://www.nist.gov/pml/special-publication-811

use super::{Family, Unit, reduced};

const fn unit(code: &'static str, over: i128, under: i128) -> Unit {
    degrees(code, over, under, (0, 1))
}

const fn degrees(code: &'static str, over: i128, under: i128, zero: (i128, i128)) -> Unit {
    let (over, under) = reduced(over, under);
    Unit { code, over, under, zero, pi: false }
}

const fn angle(code: &'static str, over: i128, under: i128) -> Unit {
    Unit { pi: true, ..unit(code, over, under) }
}

/// A pound-force, in newtons.
const POUND_FORCE: (i128, i128) = (44_482_216_152_605, 10_000_000_000_000);
/// A mechanical horsepower is 550 foot-pounds-force per second; in watts.
const HORSEPOWER: (i128, i128) = (550 * 3_048 * POUND_FORCE.0, 10_000 * POUND_FORCE.1);
/// A pound-force per square inch, in pascals.
const PSI: (i128, i128) = (POUND_FORCE.0 * 100_000_000, POUND_FORCE.1 * 64_516);
/// An international British thermal unit, in joules.
const BTU: (i128, i128) = (105_505_585_262, 100_000_000);
/// A US gallon, in cubic metres.
const GALLON: (i128, i128) = (3_785_411_784, 1_000_000_000_000);
/// A cubic foot, in cubic metres.
const CUBIC_FOOT: (i128, i128) = (28_316_846_592, 1_000_000_000_000);

pub(super) static FAMILIES: &[Family] = &[
    Family {
        quantity: "temperature",
        units: &[
            unit("K", 1, 1),
            degrees("Cel", 1, 1, (27_315, 100)),
            degrees("[degF]", 5, 9, (45_967, 180)),
            unit("[degR]", 5, 9),
        ],
    },
    Family {
        quantity: "pressure",
        units: &[
            unit("Pa", 1, 1),
            unit("hPa", 100, 1),
            unit("kPa", 1_000, 1),
            unit("MPa", 1_000_000, 1),
            unit("bar", 100_000, 1),
            unit("mbar", 100, 1),
            unit("[psi]", PSI.0, PSI.1),
            unit("atm", 101_325, 1),
            unit("mm[Hg]", 133_322_387_415, 1_000_000_000),
            unit("[in_i'Hg]", 254 * 133_322_387_415, 10_000_000_000),
            unit("mm[H2O]", 980_665, 100_000),
            unit("[in_i'H2O]", 254 * 980_665, 1_000_000),
        ],
    },
    Family {
        quantity: "length",
        units: &[
            unit("m", 1, 1),
            unit("km", 1_000, 1),
            unit("dm", 1, 10),
            unit("cm", 1, 100),
            unit("mm", 1, 1_000),
            unit("um", 1, 1_000_000),
            unit("nm", 1, 1_000_000_000),
            unit("[in_i]", 254, 10_000),
            unit("[ft_i]", 3_048, 10_000),
            unit("[yd_i]", 9_144, 10_000),
            unit("[mi_i]", 1_609_344, 1_000),
            unit("[nmi_i]", 1_852, 1),
        ],
    },
    Family {
        quantity: "area",
        units: &[
            unit("m2", 1, 1),
            unit("km2", 1_000_000, 1),
            unit("cm2", 1, 10_000),
            unit("mm2", 1, 1_000_000),
            unit("har", 10_000, 1),
            unit("[sft_i]", 9_290_304, 100_000_000),
        ],
    },
    Family {
        quantity: "volume",
        units: &[
            unit("m3", 1, 1),
            unit("dm3", 1, 1_000),
            unit("cm3", 1, 1_000_000),
            unit("L", 1, 1_000),
            unit("l", 1, 1_000),
            unit("hL", 1, 10),
            unit("mL", 1, 1_000_000),
            unit("[gal_us]", GALLON.0, GALLON.1),
            unit("[gal_br]", 454_609, 100_000_000),
            unit("[cft_i]", CUBIC_FOOT.0, CUBIC_FOOT.1),
        ],
    },
    Family {
        quantity: "volume flow",
        units: &[
            unit("m3/s", 1, 1),
            unit("m3/min", 1, 60),
            unit("m3/h", 1, 3_600),
            unit("L/s", 1, 1_000),
            unit("l/s", 1, 1_000),
            unit("L/min", 1, 60_000),
            unit("L/h", 1, 3_600_000),
            unit("mL/min", 1, 60_000_000),
            unit("[gal_us]/min", GALLON.0, 60 * GALLON.1),
            unit("[cft_i]/min", CUBIC_FOOT.0, 60 * CUBIC_FOOT.1),
        ],
    },
    Family {
        quantity: "mass",
        units: &[
            unit("kg", 1, 1),
            unit("g", 1, 1_000),
            unit("mg", 1, 1_000_000),
            unit("ug", 1, 1_000_000_000),
            unit("t", 1_000, 1),
            unit("[lb_av]", 45_359_237, 100_000_000),
            unit("[oz_av]", 45_359_237, 1_600_000_000),
        ],
    },
    Family {
        quantity: "mass flow",
        units: &[
            unit("kg/s", 1, 1),
            unit("kg/min", 1, 60),
            unit("kg/h", 1, 3_600),
            unit("g/s", 1, 1_000),
            unit("t/h", 1_000, 3_600),
        ],
    },
    Family {
        quantity: "concentration",
        units: &[
            unit("kg/m3", 1, 1),
            unit("g/m3", 1, 1_000),
            unit("mg/m3", 1, 1_000_000),
            unit("ug/m3", 1, 1_000_000_000),
            unit("g/L", 1, 1),
            unit("mg/L", 1, 1_000),
        ],
    },
    Family {
        quantity: "speed",
        units: &[
            unit("m/s", 1, 1),
            unit("km/h", 1_000, 3_600),
            unit("cm/s", 1, 100),
            unit("mm/s", 1, 1_000),
            unit("m/min", 1, 60),
            unit("m/h", 1, 3_600),
            unit("mm/h", 1, 3_600_000),
            unit("[mi_i]/h", 1_609_344, 3_600_000),
            unit("[kn_i]", 1_852, 3_600),
            unit("[ft_i]/s", 3_048, 10_000),
        ],
    },
    Family {
        quantity: "acceleration",
        units: &[
            unit("m/s2", 1, 1),
            unit("cm/s2", 1, 100),
            unit("mm/s2", 1, 1_000),
            unit("[g]", 980_665, 100_000),
            unit("m[g]", 980_665, 100_000_000),
        ],
    },
    Family {
        quantity: "force",
        units: &[unit("N", 1, 1), unit("kN", 1_000, 1), unit("[lbf_av]", POUND_FORCE.0, POUND_FORCE.1)],
    },
    Family {
        quantity: "energy",
        units: &[
            unit("J", 1, 1),
            unit("kJ", 1_000, 1),
            unit("MJ", 1_000_000, 1),
            unit("GJ", 1_000_000_000, 1),
            unit("W.s", 1, 1),
            unit("W.h", 3_600, 1),
            unit("kW.h", 3_600_000, 1),
            unit("MW.h", 3_600_000_000, 1),
            unit("Wh", 3_600, 1),
            unit("kWh", 3_600_000, 1),
            unit("cal", 4_184, 1_000),
            unit("kcal", 4_184, 1),
            unit("[Btu_IT]", BTU.0, BTU.1),
        ],
    },
    Family {
        quantity: "power",
        units: &[
            unit("W", 1, 1),
            unit("mW", 1, 1_000),
            unit("kW", 1_000, 1),
            unit("MW", 1_000_000, 1),
            unit("GW", 1_000_000_000, 1),
            unit("J/s", 1, 1),
            unit("[HP]", HORSEPOWER.0, HORSEPOWER.1),
            unit("[Btu_IT]/h", BTU.0, 3_600 * BTU.1),
        ],
    },
    Family { quantity: "apparent power", units: &[unit("VA", 1, 1), unit("kVA", 1_000, 1)] },
    Family { quantity: "reactive power", units: &[unit("var", 1, 1), unit("kvar", 1_000, 1)] },
    Family {
        quantity: "electric current",
        units: &[unit("A", 1, 1), unit("kA", 1_000, 1), unit("mA", 1, 1_000), unit("uA", 1, 1_000_000)],
    },
    Family {
        quantity: "voltage",
        units: &[unit("V", 1, 1), unit("kV", 1_000, 1), unit("mV", 1, 1_000), unit("uV", 1, 1_000_000)],
    },
    Family {
        quantity: "resistance",
        units: &[
            unit("Ohm", 1, 1),
            unit("mOhm", 1, 1_000),
            unit("kOhm", 1_000, 1),
            unit("MOhm", 1_000_000, 1),
        ],
    },
    Family {
        quantity: "conductivity",
        units: &[unit("S/m", 1, 1), unit("mS/cm", 1, 10), unit("uS/cm", 1, 10_000)],
    },
    Family {
        quantity: "electric charge",
        units: &[unit("C", 1, 1), unit("A.h", 3_600, 1), unit("mA.h", 36, 10), unit("Ah", 3_600, 1)],
    },
    Family {
        quantity: "frequency",
        units: &[
            unit("Hz", 1, 1),
            unit("kHz", 1_000, 1),
            unit("MHz", 1_000_000, 1),
            unit("GHz", 1_000_000_000, 1),
            unit("1/s", 1, 1),
            unit("1/min", 1, 60),
            unit("/s", 1, 1),
            unit("/min", 1, 60),
            unit("{rev}/s", 1, 1),
            unit("{rev}/min", 1, 60),
            unit("beat/min", 1, 60),
        ],
    },
    Family {
        quantity: "angle",
        units: &[unit("rad", 1, 1), unit("mrad", 1, 1_000), angle("deg", 1, 180), angle("{rev}", 2, 1)],
    },
    Family { quantity: "angular speed", units: &[unit("rad/s", 1, 1), angle("deg/s", 1, 180)] },
    Family {
        quantity: "time",
        units: &[
            unit("s", 1, 1),
            unit("ms", 1, 1_000),
            unit("us", 1, 1_000_000),
            unit("ns", 1, 1_000_000_000),
            unit("min", 60, 1),
            unit("h", 3_600, 1),
            unit("d", 86_400, 1),
        ],
    },
    Family {
        quantity: "data",
        units: &[
            unit("By", 1, 1),
            unit("B", 1, 1),
            unit("bit", 1, 8),
            unit("kBy", 1_000, 1),
            unit("MBy", 1_000_000, 1),
            unit("GBy", 1_000_000_000, 1),
            unit("GB", 1_000_000_000, 1),
            unit("KiBy", 1_024, 1),
            unit("KiB", 1_024, 1),
            unit("MiBy", 1_048_576, 1),
            unit("GiBy", 1_073_741_824, 1),
        ],
    },
    Family {
        quantity: "data rate",
        units: &[
            unit("bit/s", 1, 1),
            unit("kbit/s", 1_000, 1),
            unit("Mbit/s", 1_000_000, 1),
            unit("Gbit/s", 1_000_000_000, 1),
            unit("By/s", 8, 1),
            unit("B/s", 8, 1),
            unit("MBy/s", 8_000_000, 1),
            unit("MB/s", 8_000_000, 1),
        ],
    },
    Family {
        quantity: "ratio",
        units: &[
            unit("1", 1, 1),
            unit("/", 1, 1),
            unit("%", 1, 100),
            unit("/100", 1, 100),
            unit("%RH", 1, 100),
            unit("%EL", 1, 100),
            unit("[ppth]", 1, 1_000),
            unit("/1000", 1, 1_000),
            unit("[ppm]", 1, 1_000_000),
            unit("ppm", 1, 1_000_000),
            unit("[ppb]", 1, 1_000_000_000),
        ],
    },
    Family {
        quantity: "illuminance",
        units: &[unit("lx", 1, 1), unit("klx", 1_000, 1), unit("lm/m2", 1, 1)],
    },
];

/// What people write for a unit, in small letters, and its code.
pub(super) static NAMES: &[(&str, &str)] = &[
    ("c", "Cel"),
    ("°c", "Cel"),
    ("c°", "Cel"),
    ("degc", "Cel"),
    ("celsius", "Cel"),
    ("f", "[degF]"),
    ("°f", "[degF]"),
    ("degf", "[degF]"),
    ("fahrenheit", "[degF]"),
    ("kelvin", "K"),
    ("psi", "[psi]"),
    ("mmhg", "mm[Hg]"),
    ("torr", "mm[Hg]"),
    ("inhg", "[in_i'Hg]"),
    ("in", "[in_i]"),
    ("inch", "[in_i]"),
    ("ft", "[ft_i]"),
    ("feet", "[ft_i]"),
    ("yd", "[yd_i]"),
    ("mi", "[mi_i]"),
    ("nmi", "[nmi_i]"),
    ("ha", "har"),
    ("gal", "[gal_us]"),
    ("gpm", "[gal_us]/min"),
    ("cfm", "[cft_i]/min"),
    ("m³", "m3"),
    ("m³/h", "m3/h"),
    ("lpm", "L/min"),
    ("lb", "[lb_av]"),
    ("lbs", "[lb_av]"),
    ("oz", "[oz_av]"),
    ("kph", "km/h"),
    ("kmh", "km/h"),
    ("mph", "[mi_i]/h"),
    ("kn", "[kn_i]"),
    ("knots", "[kn_i]"),
    ("m/s²", "m/s2"),
    ("m/s^2", "m/s2"),
    ("lbf", "[lbf_av]"),
    ("btu", "[Btu_IT]"),
    ("mwh", "MW.h"),
    ("hp", "[HP]"),
    ("ω", "Ohm"),
    ("mah", "mA.h"),
    ("rpm", "{rev}/min"),
    ("bpm", "beat/min"),
    ("°", "deg"),
    ("degree", "deg"),
    ("degrees", "deg"),
    ("sec", "s"),
    ("seconds", "s"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("byte", "By"),
    ("bytes", "By"),
    ("kb", "kBy"),
    ("mb", "MBy"),
    ("gib", "GiBy"),
    ("mib", "MiBy"),
    ("percent", "%"),
    ("ppb", "[ppb]"),
    ("lux", "lx"),
];
