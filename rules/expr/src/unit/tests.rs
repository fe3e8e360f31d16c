use super::*;

fn unit(name: &str) -> Unit {
    parse_unit(name).unwrap()
}

#[test]
fn every_name_parses_to_itself_and_names_are_unique() {
    let names = unit_names();
    for name in &names {
        assert_eq!(unit(name).symbol(), *name);
        assert_eq!(
            names.iter().filter(|other| *other == name).count(),
            1,
            "{name}"
        );
    }
    assert!(parse_unit("furlong").is_none());
    assert!(parse_unit("").is_none());
    assert!(parse_unit("mm/S").is_none(), "units are case sensitive");
}

#[test]
fn field_conversions_are_exact() {
    for (value, from, to, expected) in [
        (1.0, "m/s", "mm/s", 1000.0),
        (7.1, "mm/s", "m/s", 0.0071),
        (0.0071, "m/s", "mm/s", 7.1),
        (1.0, "in/s", "mm/s", 25.4),
        (1.0, "in", "µm", 25_400.0),
        (1.0, "g", "m/s²", 9.80665),
        (1.0, "g", "mm/s²", 9806.65),
        (1500.0, "rpm", "Hz", 25.0),
        (1.0, "kHz", "rpm", 60_000.0),
        (100.0, "degC", "degF", 212.0),
        (212.0, "degF", "degC", 100.0),
        (0.0, "degC", "K", 273.15),
        (-40.0, "degF", "degC", -40.0),
        (1.0, "bar", "kPa", 100.0),
        (1.0, "MPa", "mbar", 10_000.0),
        (6.0, "m3/h", "l/min", 100.0),
        (50.0, "%", "1", 0.5),
        (2.0, "h", "min", 120.0),
        (500.0, "ms", "ns", 5e8),
        (3.0, "kW", "W", 3000.0),
        (2.0, "kN", "N", 2000.0),
    ] {
        let conversion = unit(from).conversion_to(&unit(to)).unwrap();
        let got = conversion.apply_to_literal(value);
        let plain = conversion.apply(value);
        assert!((plain - got).abs() <= got.abs() * 1e-15, "{plain} {got}");
        assert_eq!(
            got.to_bits(),
            f64::to_bits(expected),
            "H-05: {value} {from} in {to}: {got}"
        );
    }
    let bar = unit("psi").convert(14.5, &unit("bar")).unwrap();
    assert!((bar - 0.999_739_8).abs() < 1e-6, "{bar}");
    let rad = unit("deg").convert(180.0, &unit("rad")).unwrap();
    assert!((rad - std::f64::consts::PI).abs() < 1e-15, "{rad}");
}

#[test]
fn different_quantities_do_not_convert() {
    let units = unit_names();
    for a in &units {
        for b in &units {
            let (a, b) = (unit(a), unit(b));
            assert_eq!(
                a.conversion_to(&b).is_some(),
                a.same_dimension(&b),
                "H-05: {a} to {b}"
            );
        }
    }
    assert!(unit("mm/s").conversion_to(&unit("g")).is_none());
    assert!(unit("deg").conversion_to(&Unit::ONE).is_none());
}

#[test]
fn there_and_back_loses_at_most_the_rounding() {
    let units = unit_names();
    for a in &units {
        for b in &units {
            let (a, b) = (unit(a), unit(b));
            if let Some(there) = a.convert(71.3, &b) {
                let back = b.convert(there, &a).unwrap();
                assert!((back - 71.3).abs() < 1e-9, "{a} to {b}: {back}");
            }
        }
    }
}

#[test]
fn products_cancel_and_roots_halve() {
    let ratio = unit("mm/s").quotient(&unit("mm/s")).unwrap();
    assert_eq!(ratio, Unit::ONE);
    assert_eq!(unit("V").product(&unit("A")).unwrap(), unit("W"));
    assert_eq!(unit("mm").quotient(&unit("s")).unwrap(), unit("mm/s"));
    let square = unit("mm/s").product(&unit("mm/s")).unwrap();
    assert_eq!(square.symbol(), "mm/s·mm/s");
    let (root, conversion) = square.square_root().unwrap();
    assert_eq!(root.symbol(), "mm/s");
    assert!(conversion.is_identity());
    let uneven = unit("mm").product(&unit("m")).unwrap();
    let (root, conversion) = uneven.square_root().unwrap();
    assert_eq!((root.symbol(), conversion.divisor), ("m", 1000.0));
    assert!(unit("mm/s").square_root().is_none());
}

#[test]
fn a_compound_never_overflows_silently() {
    let mut compound = unit("psi");
    let mut steps = 0;
    while let Some(next) = compound.product(&unit("psi")) {
        compound = next;
        steps += 1;
        assert!(steps < 200, "exponents are bounded");
        assert!(compound.symbol().len() <= SYMBOL_BYTES_MAX);
    }
}

#[test]
fn temperatures_and_differences_stay_apart() {
    let degc = unit("degC");
    let difference = degc.difference_unit();
    assert_eq!(difference.symbol(), "K");
    assert!(degc.conversion_to(&difference).is_none());
    assert!(difference.conversion_to(&degc).is_none());
    assert_eq!(unit("degF").convert_difference(9.0, &unit("K")), Some(5.0));
    assert!(degc.product(&Unit::ONE).is_none());
    assert!(degc.quotient(&degc).is_none());
    assert!(degc.square_root().is_none());
}

#[test]
fn the_longest_unit_wins_and_words_are_not_cut() {
    let found = |text| longest_unit(text).map(|(unit, length)| (unit.symbol().to_owned(), length));
    assert_eq!(found("mm/s > 3"), Some(("mm/s".into(), 4)));
    assert_eq!(found("mm/s²"), Some(("mm/s²".into(), 6)));
    assert_eq!(found("m/s2"), Some(("m/s2".into(), 4)));
    assert_eq!(found("mm/speed"), Some(("mm".into(), 2)));
    assert_eq!(found("min)"), Some(("min".into(), 3)));
    assert_eq!(found("°C"), Some(("°C".into(), 3)));
    assert_eq!(found("%&&"), Some(("%".into(), 1)));
    assert_eq!(found("gear"), None);
    assert_eq!(found("1"), None);
}
