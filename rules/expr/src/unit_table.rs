//! The table of units. Its order is the order of the reference in `docs/expressions.md`.
//!
//! Factors: SI Brochure (9th edition) for SI units; inch = 25.4 mm and pound-force from the international yard and pound
//! agreement of 1959; standard gravity 9.80665 m/s² (3rd CGPM, 1901).

use crate::unit::Dims;

pub(crate) struct Entry {
    pub(crate) symbol: &'static str,
    pub(crate) dims: Dims,
    pub(crate) num: u128,
    pub(crate) den: u128,
    pub(crate) zero: Option<(i128, i128)>,
    /// What the dimension is called.
    pub(crate) quantity: &'static str,
    /// A second spelling, or a unit that is not offered as a way out.
    pub(crate) alias: bool,
}

const fn unit(
    symbol: &'static str,
    quantity: &'static str,
    dims: Dims,
    num: u128,
    den: u128,
) -> Entry {
    Entry {
        symbol,
        dims,
        num,
        den,
        zero: None,
        quantity,
        alias: false,
    }
}

const fn alias(entry: Entry) -> Entry {
    Entry {
        alias: true,
        ..entry
    }
}

const fn scale(symbol: &'static str, num: u128, den: u128, zero: (i128, i128)) -> Entry {
    Entry {
        zero: Some(zero),
        ..unit(symbol, "temperature", TEMPERATURE, num, den)
    }
}

const NONE: Dims = [0; 6];
const LENGTH: Dims = [1, 0, 0, 0, 0, 0];
const VELOCITY: Dims = [1, 0, -1, 0, 0, 0];
const ACCELERATION: Dims = [1, 0, -2, 0, 0, 0];
const TIME: Dims = [0, 0, 1, 0, 0, 0];
const FREQUENCY: Dims = [0, 0, -1, 0, 0, 0];
const TEMPERATURE: Dims = [0, 0, 0, 0, 1, 0];
const PRESSURE: Dims = [-1, 1, -2, 0, 0, 0];
const CURRENT: Dims = [0, 0, 0, 1, 0, 0];
const VOLTAGE: Dims = [2, 1, -3, -1, 0, 0];
const POWER: Dims = [2, 1, -3, 0, 0, 0];
const FORCE: Dims = [1, 1, -2, 0, 0, 0];
const TORQUE: Dims = [2, 1, -2, 0, 0, 0];
const FLOW: Dims = [3, 0, -1, 0, 0, 0];
const ANGLE: Dims = [0, 0, 0, 0, 0, 1];
const MASS: Dims = [0, 1, 0, 0, 0, 0];
const FREQUENCY_RATE: Dims = [0, 0, -2, 0, 0, 0];
const TEMPERATURE_RATE: Dims = [0, 0, -1, 0, 1, 0];
const PRESSURE_RATE: Dims = [-1, 1, -3, 0, 0, 0];
const CURRENT_RATE: Dims = [0, 0, -1, 1, 0, 0];

/// Pound-force per square inch: 0.45359237 kg * 9.80665 m/s² / (0.0254 m)².
const PSI: (u128, u128) = (
    45_359_237 * 980_665,
    254 * 254 * 100_000, // 1e8 * 1e5 / (1e4 * 1e4)
);

pub(crate) const TABLE: &[Entry] = &[
    unit("m", "length", LENGTH, 1, 1),
    unit("cm", "length", LENGTH, 1, 100),
    unit("mm", "length", LENGTH, 1, 1_000),
    unit("um", "length", LENGTH, 1, 1_000_000),
    alias(unit("µm", "length", LENGTH, 1, 1_000_000)),
    alias(unit("μm", "length", LENGTH, 1, 1_000_000)),
    unit("in", "length", LENGTH, 254, 10_000),
    unit("m/s", "velocity", VELOCITY, 1, 1),
    unit("mm/s", "velocity", VELOCITY, 1, 1_000),
    unit("in/s", "velocity", VELOCITY, 254, 10_000),
    unit("m/s²", "acceleration", ACCELERATION, 1, 1),
    alias(unit("m/s2", "acceleration", ACCELERATION, 1, 1)),
    alias(unit("m/s^2", "acceleration", ACCELERATION, 1, 1)),
    unit("mm/s²", "acceleration", ACCELERATION, 1, 1_000),
    alias(unit("mm/s2", "acceleration", ACCELERATION, 1, 1_000)),
    alias(unit("mm/s^2", "acceleration", ACCELERATION, 1, 1_000)),
    unit("g", "acceleration", ACCELERATION, 980_665, 100_000),
    unit("s", "time", TIME, 1, 1),
    unit("ms", "time", TIME, 1, 1_000),
    unit("us", "time", TIME, 1, 1_000_000),
    alias(unit("µs", "time", TIME, 1, 1_000_000)),
    alias(unit("μs", "time", TIME, 1, 1_000_000)),
    unit("ns", "time", TIME, 1, 1_000_000_000),
    unit("min", "time", TIME, 60, 1),
    unit("h", "time", TIME, 3_600, 1),
    unit("Hz", "frequency", FREQUENCY, 1, 1),
    unit("kHz", "frequency", FREQUENCY, 1_000, 1),
    unit("rpm", "frequency", FREQUENCY, 1, 60),
    scale("degC", 1, 1, (27_315, 100)),
    alias(scale("°C", 1, 1, (27_315, 100))),
    scale("degF", 5, 9, (45_967, 100)),
    alias(scale("°F", 5, 9, (45_967, 100))),
    unit("K", "temperature", TEMPERATURE, 1, 1),
    unit("bar", "pressure", PRESSURE, 100_000, 1),
    unit("mbar", "pressure", PRESSURE, 100, 1),
    unit("Pa", "pressure", PRESSURE, 1, 1),
    unit("kPa", "pressure", PRESSURE, 1_000, 1),
    unit("MPa", "pressure", PRESSURE, 1_000_000, 1),
    unit("psi", "pressure", PRESSURE, PSI.0, PSI.1),
    unit("A", "current", CURRENT, 1, 1),
    unit("mA", "current", CURRENT, 1, 1_000),
    unit("V", "voltage", VOLTAGE, 1, 1),
    unit("mV", "voltage", VOLTAGE, 1, 1_000),
    unit("kV", "voltage", VOLTAGE, 1_000, 1),
    unit("W", "power", POWER, 1, 1),
    unit("kW", "power", POWER, 1_000, 1),
    unit("N", "force", FORCE, 1, 1),
    unit("kN", "force", FORCE, 1_000, 1),
    unit("Nm", "torque", TORQUE, 1, 1),
    unit("l/min", "flow", FLOW, 1, 60_000),
    unit("m3/h", "flow", FLOW, 1, 3_600),
    alias(unit("m³/h", "flow", FLOW, 1, 3_600)),
    unit("%", "plain number", NONE, 1, 100),
    unit("count", "plain number", NONE, 1, 1),
    unit("1", "plain number", NONE, 1, 1),
    // pi / 180 to the last digit of a binary64.
    unit(
        "deg",
        "angle",
        ANGLE,
        17_453_292_519_943_295,
        1_000_000_000_000_000_000,
    ),
    alias(unit(
        "°",
        "angle",
        ANGLE,
        17_453_292_519_943_295,
        1_000_000_000_000_000_000,
    )),
    unit("rad", "angle", ANGLE, 1, 1),
    unit("kg", "mass", MASS, 1, 1),
    // What rate() is compared with, beside velocities and accelerations.
    unit("Hz/s", "rate of frequency", FREQUENCY_RATE, 1, 1),
    unit("rpm/s", "rate of frequency", FREQUENCY_RATE, 1, 60),
    unit("K/s", "rate of temperature", TEMPERATURE_RATE, 1, 1),
    unit("K/min", "rate of temperature", TEMPERATURE_RATE, 1, 60),
    alias(unit(
        "degC/s",
        "rate of temperature",
        TEMPERATURE_RATE,
        1,
        1,
    )),
    alias(unit(
        "degC/min",
        "rate of temperature",
        TEMPERATURE_RATE,
        1,
        60,
    )),
    unit("bar/s", "rate of pressure", PRESSURE_RATE, 100_000, 1),
    unit("bar/min", "rate of pressure", PRESSURE_RATE, 100_000, 60),
    unit("A/s", "rate of current", CURRENT_RATE, 1, 1),
    // Not offered among the frequencies, although a percentage has no dimension.
    alias(unit("%/s", "frequency", FREQUENCY, 1, 100)),
    alias(unit("%/min", "frequency", FREQUENCY, 1, 6_000)),
];
