//! Lists of channels as people write them.

use std::fmt;
use std::str::FromStr;

/// More channels than any net has; a range of them must not fill the memory.
const MAX_CHANNEL: usize = 1 << 16;

/// A list such as `3,17-20`: each channel once, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Channels(pub Vec<usize>);

impl FromStr for Channels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut channels = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| match text.trim().parse::<usize>() {
                Ok(number) if number < MAX_CHANNEL => Ok(number),
                Ok(number) => Err(format!("no net has a channel {number}")),
                Err(_) => Err(format!("`{part}` is neither a channel such as 3 nor a range such as 17-20")),
            };
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("the range `{part}` runs backwards"));
            }
            channels.extend(first..=last);
        }
        channels.sort_unstable();
        channels.dedup();
        Ok(Self(channels))
    }
}

/// Runs of three and more as ranges.
impl fmt::Display for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<[usize; 2]> = Vec::new();
        for &channel in &self.0 {
            match ranges.last_mut() {
                Some([_, last]) if last.checked_add(1) == Some(channel) => *last = channel,
                _ => ranges.push([channel, channel]),
            }
        }
        for (i, &[first, last]) in ranges.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_lists_and_ranges() {
        let channels = |text: &str| text.parse::<Channels>().map(|channels| channels.0);
        assert_eq!(channels("3"), Ok(vec![3]));
        assert_eq!(channels("20, 3,17-19,18"), Ok(vec![3, 17, 18, 19, 20]));
        for bad in ["", "a", "3,", "-3", "5-3", "1-2-3", "0-99999999999999", "1.5"] {
            assert!(channels(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_are_written_as_they_are_read() {
        for (list, text) in [(vec![], ""), (vec![3], "3"), (vec![3, 4], "3,4"), (vec![0, 3, 17, 18, 19], "0,3,17-19")] {
            let channels = Channels(list);
            assert_eq!(channels.to_string(), text);
            assert!(text.is_empty() || text.parse() == Ok(channels));
        }
    }
}
