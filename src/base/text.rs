//! Words for people.

use std::error::Error;

/// An error and what caused it, on one line. Causes that the error already tells are not told twice.
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    for cause in causes.map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Seconds as people say them: `0.8 s`, `42 s`, `3 min 20 s`, `2 h 05 min`.
pub fn duration(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Three significant digits and a unit: `4.65 M`, `385 M`, `1.20 G`.
pub fn with_unit(number: u64) -> String {
    let mut value = number as f64;
    let mut unit = "";
    for larger in ["k", "M", "G", "T", "P"] {
        // What would be shown as 1000 belongs to the next unit.
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / 1000.0, larger);
    }
    if unit.is_empty() {
        return number.to_string();
    }
    let decimals = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn causes_are_told_once_and_in_one_line() {
        let error = Layer("cannot do it", Some(Box::new(Layer("line one\n  line two", None))));
        assert_eq!(one_line(&error), "cannot do it: line one line two");
        let inner = Layer("no space", None);
        let error = Layer("nothing is saved", Some(Box::new(Layer("cannot write x: no space", Some(Box::new(inner))))));
        assert_eq!(one_line(&error), "nothing is saved: cannot write x: no space");
    }

    #[test]
    fn durations_read_well() {
        let cases = [(0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (200.0, "3 min 20 s"), (7500.0, "2 h 05 min")];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn numbers_read_well() {
        let cases = [(0, "0"), (999, "999"), (1000, "1.00 k"), (4_652_008, "4.65 M"), (99_960_000, "100 M")];
        let more = [(385_000_000, "385 M"), (999_600_000, "1.00 G"), (15_470_000_000, "15.5 G")];
        for (number, text) in cases.into_iter().chain(more) {
            assert_eq!(with_unit(number), text, "{number}");
        }
    }
}
