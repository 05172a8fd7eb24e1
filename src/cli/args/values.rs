//! The values of options: text to something that is right as far as text can tell.

use std::str::FromStr;

use crate::tasks::dream::SizePx;

/// A number of bytes such as `2G`, `1.5GiB` or `800M`; units are powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || "expected a size such as 2G, 1.5G or 800M".to_string();
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: f64 = number.parse().map_err(|_| error())?;
        let exponent = match unit.trim().to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
            "" => 0,
            "k" => 1,
            "m" => 2,
            "g" => 3,
            "t" => 4,
            _ => return Err(error()),
        };
        let bytes = number * 1024f64.powi(exponent);
        if !(1.0..=u64::MAX as f64).contains(&bytes) {
            return Err(error());
        }
        Ok(Self(bytes as u64))
    }
}

/// A size such as `640x480`, width first; one number is a square.
pub fn size_px(text: &str) -> Result<SizePx, String> {
    let error = || "expected a size such as 640x480 (width x height), or 512 for a square".to_string();
    let (width, height) = text.split_once(['x', 'X', '×']).unwrap_or((text, text));
    let side = |text: &str| text.trim().parse::<usize>().ok().filter(|&side| side > 0).ok_or_else(error);
    Ok(SizePx { width: side(width)?, height: side(height)? })
}

/// One number a channel, or one for all.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers(pub Vec<f32>);

/// Numbers such as `104,117,123`, each of which may be a fraction such as `1/255`.
pub fn numbers(text: &str) -> Result<Numbers, String> {
    let error =
        || "expected a number, or one a channel such as 104,117,123; fractions such as 1/255 will do".to_string();
    let number = |text: &str| {
        let (above, below) = text.split_once('/').unwrap_or((text, "1"));
        let [above, below] = [above, below].map(|text| text.trim().parse::<f64>().ok());
        let value = (above? / below?) as f32;
        value.is_finite().then_some(value)
    };
    text.split(',').map(number).collect::<Option<Vec<f32>>>().map(Numbers).ok_or_else(error)
}

/// A number that is finite and not negative.
pub fn not_negative<F: FromStr + Into<f64> + Copy>(text: &str) -> Result<F, String> {
    let number = text.trim().parse::<F>().map_err(|_| "expected a number".to_string())?;
    if number.into().is_finite() && number.into() >= 0.0 {
        Ok(number)
    } else {
        Err("expected a number of at least 0".into())
    }
}

/// A number that is finite and greater than zero.
pub fn positive<F: FromStr + Into<f64> + Copy>(text: &str) -> Result<F, String> {
    match not_negative::<F>(text) {
        Ok(number) if number.into() > 0.0 => Ok(number),
        _ => Err("expected a number greater than 0".into()),
    }
}

/// A factor between neighbouring octaves: finite and greater than one.
pub fn octave_scale(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(scale) if scale.is_finite() && scale > 1.0 => Ok(scale),
        _ => Err("expected a number greater than 1".into()),
    }
}

/// A whole number.
pub fn whole(text: &str) -> Result<usize, String> {
    text.trim().parse().map_err(|_| "expected a whole number of at least 0".into())
}

/// A number of threads that a machine may have.
pub fn threads(text: &str) -> Result<usize, String> {
    const MOST: usize = 1024;
    at_least_one(text)
        .ok()
        .filter(|&threads| threads <= MOST)
        .ok_or_else(|| format!("expected a number from 1 to {MOST}"))
}

/// A whole number of at least one.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    text.trim().parse().ok().filter(|&number| number >= 1).ok_or_else(|| "expected a whole number of at least 1".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_binary_units() {
        let bytes = |text: &str| text.parse::<Bytes>().map(|bytes| bytes.0);
        let cases = [("2G", 2 << 30), ("2GiB", 2 << 30), ("1.5g", 3 << 29), ("800 MB", 800 << 20), ("4096", 4096)];
        for (text, expected) in cases {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for bad in ["", "G", "-1G", "0", "nan", "1e999", "2X", "2 gigs", "99999999999T"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_width_by_height() {
        assert_eq!(size_px("640x480"), Ok(SizePx { width: 640, height: 480 }));
        assert_eq!(size_px("512"), Ok(SizePx { width: 512, height: 512 }));
        for bad in ["", "x", "640x", "0x480", "-1", "640x480x3", "1.5"] {
            assert!(size_px(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_may_be_fractions() {
        assert_eq!(numbers("104, 117,-1.5"), Ok(Numbers(vec![104.0, 117.0, -1.5])));
        assert_eq!(numbers("1/255"), Ok(Numbers(vec![1.0 / 255.0])));
        for bad in ["", "1,", "1/0", "x", "1/2/3", "nan"] {
            assert!(numbers(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        for bad in ["nan", "inf", "-1", "x", ""] {
            assert!(not_negative::<f64>(bad).is_err(), "{bad}");
            assert!(positive::<f32>(bad).is_err(), "{bad}");
            assert!(octave_scale(bad).is_err(), "{bad}");
            assert!(at_least_one(bad).is_err(), "{bad}");
        }
        assert_eq!((not_negative::<f64>("0"), positive::<f32>("0").is_err()), (Ok(0.0), true));
        assert_eq!((octave_scale("1.4"), octave_scale("1").is_err()), (Ok(1.4), true));
        assert_eq!((at_least_one("1"), at_least_one("0").is_err()), (Ok(1), true));
        assert_eq!((whole("0"), whole("-1").is_err()), (Ok(0), true));
        assert_eq!((threads("2"), threads("0").is_err(), threads("1000000").is_err()), (Ok(2), true, true));
    }
}
