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
}
