//! A layer's values on one picture: which channels fire, and their maps.

use std::cmp::Ordering;

/// A layer's blob on one picture.
#[derive(Clone, Debug)]
pub struct Activations {
    pub layer: String,
    pub channels: usize,
    /// Of a map, in values.
    pub height: usize,
    pub width: usize,
    /// Height × width × channels.
    data: Vec<f32>,
    /// One a channel.
    stats: Vec<Stats>,
    /// The deviation of the channel in the middle, when they are sorted by it.
    typical_deviation: f64,
}

/// What a channel does over the whole picture. NaN and infinite values are left out.
#[derive(Clone, Copy, Debug)]
struct Stats {
    mean: f64,
    mean_size: f64,
    deviation: f64,
    low: f32,
    high: f32,
}

/// How strongly a channel fires.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Firing {
    pub channel: usize,
    /// The value at the place; over the whole picture the highest value.
    pub value: f32,
    /// How many times the channel's mean over the picture the value is. For layers with negative values it is the mean
    /// of the values without their sign. 0 where that mean is.
    pub over_mean: f32,
}

/// What black and white of a map stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapScale {
    /// The channel's own lowest and highest value.
    #[default]
    Channel,
    /// The lowest and the highest value of all channels, so that their maps can be compared.
    Layer,
}

/// A channel's map in gray.
#[derive(Clone, Debug, PartialEq)]
pub struct GrayMap {
    pub width: usize,
    pub height: usize,
    /// Row by row; 0 for `low` and what is not a number, 255 for `high`. All 0 where there is but one value.
    pub pixels: Vec<u8>,
    pub low: f32,
    pub high: f32,
}

impl Activations {
    /// `data` is height × width × channels.
    pub(super) fn new(layer: String, [channels, height, width]: [usize; 3], data: Vec<f32>) -> Self {
        debug_assert_eq!(data.len(), channels * height * width);
        let stats = stats(&data, channels);
        let mut deviations: Vec<f64> = stats.iter().map(|stats| stats.deviation).collect();
        deviations.sort_by(f64::total_cmp);
        let typical_deviation = deviations.get(channels / 2).copied().unwrap_or(0.0);
        Self { layer, channels, height, width, data, stats, typical_deviation }
    }

    /// All values: height × width × channels.
    pub fn values(&self) -> &[f32] {
        &self.data
    }

    /// The `count` channels that fire most at a place of the picture (0 to 1 from the left and from the top; beyond
    /// that the nearest edge), the strongest first; of equals the lower channel first.
    ///
    /// A channel is as strong as its value stands out of what it does elsewhere on the picture:
    /// (value − mean) / (deviation + the layer's typical deviation). The mean takes away channels that are on
    /// everywhere; the typical deviation keeps channels that hardly do anything from winning by a trifle. Where maps have
    /// one pixel there is no elsewhere, and the values themselves are ranked.
    pub fn strongest_at(&self, x: f32, y: f32, count: usize) -> Vec<Firing> {
        let [column, row] = [(x, self.width), (y, self.height)].map(|(share, places)| {
            // NaN becomes 0.
            ((share.clamp(0.0, 1.0) * places as f32) as usize).min(places.saturating_sub(1))
        });
        let start = (row * self.width + column) * self.channels;
        match self.data.get(start..start + self.channels) {
            Some(values) => self.ranked(values.iter().copied(), count),
            None => Vec::new(),
        }
    }

    /// The `count` channels that fire most anywhere on the picture, the strongest first, each at its highest value.
    /// Ranked as in [`Activations::strongest_at`].
    pub fn strongest(&self, count: usize) -> Vec<Firing> {
        self.ranked(self.stats.iter().map(|stats| stats.high), count)
    }

    fn ranked(&self, values: impl Iterator<Item = f32>, count: usize) -> Vec<Firing> {
        let mut ranked: Vec<(f64, Firing)> = values
            .enumerate()
            .map(|(channel, value)| (self.score(channel, value), self.firing(channel, value)))
            .collect();
        ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        ranked.into_iter().take(count).map(|(_, firing)| firing).collect()
    }

    fn score(&self, channel: usize, value: f32) -> f64 {
        if value.is_nan() {
            return f64::NEG_INFINITY;
        }
        if self.height * self.width <= 1 {
            return f64::from(value);
        }
        let Stats { mean, deviation, .. } = self.stats[channel];
        let score = (f64::from(value) - mean) / (deviation + self.typical_deviation);
        // 0 / 0, where neither this channel nor most others change at all.
        if score.is_nan() { 0.0 } else { score }
    }

    fn firing(&self, channel: usize, value: f32) -> Firing {
        let ratio = f64::from(value) / self.stats[channel].mean_size;
        Firing { channel, value, over_mean: if ratio.is_finite() { ratio as f32 } else { 0.0 } }
    }

    /// One channel's map as gray bytes.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn map(&self, channel: usize, scale: MapScale) -> GrayMap {
        assert!(channel < self.channels, "the layer has {} channels, not one of number {channel}", self.channels);
        let of = match scale {
            MapScale::Channel => &self.stats[channel..=channel],
            MapScale::Layer => &self.stats,
        };
        let by_value = |a: &f32, b: &f32| a.partial_cmp(b).unwrap_or(Ordering::Equal);
        let low = of.iter().map(|stats| stats.low).min_by(by_value).unwrap_or(0.0);
        let high = of.iter().map(|stats| stats.high).max_by(by_value).unwrap_or(0.0);
        let range = f64::from(high) - f64::from(low);
        let gray = |&value: &f32| {
            let share = if range > 0.0 { (f64::from(value) - f64::from(low)) / range } else { 0.0 };
            (share * 255.0).round() as u8
        };
        let pixels = self.data.iter().skip(channel).step_by(self.channels).map(gray).collect();
        GrayMap { width: self.width, height: self.height, pixels, low, high }
    }
}

/// The statistics of every channel; all 0 for a channel without a finite value.
fn stats(data: &[f32], channels: usize) -> Vec<Stats> {
    #[derive(Clone)]
    struct Sums {
        count: f64,
        sum: f64,
        sizes: f64,
        low: f32,
        high: f32,
    }
    let none = Sums { count: 0.0, sum: 0.0, sizes: 0.0, low: f32::INFINITY, high: f32::NEG_INFINITY };
    let mut sums = vec![none; channels];
    let rows = || data.chunks_exact(channels.max(1));
    for row in rows() {
        for (sums, &value) in sums.iter_mut().zip(row).filter(|(_, value)| value.is_finite()) {
            sums.count += 1.0;
            sums.sum += f64::from(value);
            sums.sizes += f64::from(value.abs());
            sums.low = sums.low.min(value);
            sums.high = sums.high.max(value);
        }
    }
    let mean = |sums: &Sums| if sums.count > 0.0 { sums.sum / sums.count } else { 0.0 };
    let means: Vec<f64> = sums.iter().map(mean).collect();
    let mut squares = vec![0.0; channels];
    for row in rows() {
        for ((square, mean), &value) in squares.iter_mut().zip(&means).zip(row).filter(|(_, value)| value.is_finite()) {
            let off = f64::from(value) - mean;
            *square += off * off;
        }
    }
    let stats = |((sums, mean), square): ((Sums, f64), f64)| {
        if sums.count == 0.0 {
            return Stats { mean: 0.0, mean_size: 0.0, deviation: 0.0, low: 0.0, high: 0.0 };
        }
        let Sums { count, sizes, low, high, .. } = sums;
        Stats { mean, mean_size: sizes / count, deviation: (square / count).sqrt(), low, high }
    };
    sums.into_iter().zip(means).zip(squares).map(stats).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Looker;
    use super::super::testing::{photo, shipped};
    use super::*;

    /// Four places in a row, of four channels: always on and highest, one spot, the same spot fainter, faint noise.
    fn sample() -> Activations {
        let data = vec![
            9.0, 0.0, 0.0, 0.001, //
            9.5, 4.0, 1.0, 0.0, //
            9.0, 0.0, 0.0, 0.0, //
            9.1, 0.0, 0.0, 0.0,
        ];
        Activations::new("maps".into(), [4, 1, 4], data)
    }

    fn channels(firings: &[Firing]) -> Vec<usize> {
        firings.iter().map(|firing| firing.channel).collect()
    }

    #[test]
    fn what_stands_out_wins_over_what_is_always_on() {
        let at_the_spot = sample().strongest_at(0.3, 0.5, 2);
        assert_eq!(at_the_spot[0], Firing { channel: 1, value: 4.0, over_mean: 4.0 });
        assert_eq!(at_the_spot[1], Firing { channel: 2, value: 1.0, over_mean: 4.0 });
        assert_eq!(sample().strongest(1)[0], Firing { channel: 1, value: 4.0, over_mean: 4.0 });
        assert_eq!(channels(&sample().strongest_at(0.3, 0.5, 9)).len(), 4);
        assert_eq!(channels(&sample().strongest_at(0.3, 0.5, 9))[3], 3);
    }

    #[test]
    fn places_are_shares_of_the_picture() {
        let activations = Activations::new("maps".into(), [1, 2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let at = |x, y| activations.strongest_at(x, y, 1)[0].value;
        let corners = [at(0.0, 0.0), at(0.34, 0.49), at(1.0, 0.0), at(0.32, 0.5), at(0.99, 1.0), at(7.0, f32::NAN)];
        assert_eq!(corners, [0.0, 1.0, 2.0, 3.0, 5.0, 2.0]);
    }

    #[test]
    fn single_values_are_ranked_as_they_are() {
        let scores = Activations::new("scores".into(), [3, 1, 1], vec![-1.0, 7.0, 2.0]);
        assert_eq!(channels(&scores.strongest(3)), [1, 2, 0]);
        assert_eq!(channels(&scores.strongest_at(0.5, 0.5, 2)), [1, 2]);
        assert_eq!(scores.strongest(3)[2], Firing { channel: 0, value: -1.0, over_mean: -1.0 });
    }

    #[test]
    fn maps_are_scaled_by_themselves_or_by_the_layer() {
        let activations = Activations::new("maps".into(), [2, 2, 2], vec![-1.0, 10.0, 0.0, 10.0, 1.0, 10.0, 3.0, 10.0]);
        let own = activations.map(0, MapScale::Channel);
        assert_eq!(own, GrayMap { width: 2, height: 2, pixels: vec![0, 64, 128, 255], low: -1.0, high: 3.0 });
        let layer = activations.map(0, MapScale::Layer);
        assert_eq!((layer.low, layer.high, layer.pixels), (-1.0, 10.0, vec![0, 23, 46, 93]));
        assert_eq!(activations.map(1, MapScale::Layer).pixels, [255; 4]);
        assert_eq!(activations.map(1, MapScale::Channel).pixels, [0; 4]);
    }

    #[test]
    fn values_that_are_none_are_black_and_come_last() {
        let nan = f32::NAN;
        let data = vec![nan, nan, 0.0, f32::INFINITY, nan, 1.0, f32::NEG_INFINITY, nan, 0.0];
        let activations = Activations::new("maps".into(), [3, 1, 3], data);
        assert_eq!(channels(&activations.strongest_at(0.5, 0.0, 3)), [0, 2, 1]);
        assert_eq!(activations.strongest_at(0.5, 0.0, 3)[0].over_mean, 0.0);
        assert_eq!(activations.map(1, MapScale::Channel).pixels, [0; 3]);
        let layer = activations.map(0, MapScale::Layer);
        assert_eq!((layer.pixels, layer.low, layer.high), (vec![0, 255, 0], 0.0, 1.0));
        assert!(activations.strongest(3).iter().all(|firing| firing.value.is_finite()));
        let none = Activations::new("none".into(), [0, 3, 3], Vec::new());
        assert!(none.strongest(4).is_empty() && none.strongest_at(0.5, 0.5, 4).is_empty());
    }

    #[test]
    fn a_firing_is_what_the_blob_and_the_map_say() {
        let picture = photo("chelsea.png");
        let seen = Looker::new(shipped(), "block10").unwrap().look(&picture, 160).unwrap();
        let [x, y] = [0.5, 0.4];
        let place = (y * seen.height as f32) as usize * seen.width + (x * seen.width as f32) as usize;
        for firing in seen.strongest_at(x, y, 5) {
            assert_eq!(firing.value, seen.values()[place * seen.channels + firing.channel]);
            let map = seen.map(firing.channel, MapScale::Channel);
            let share = (firing.value - map.low) / (map.high - map.low);
            assert!((f32::from(map.pixels[place]) - 255.0 * share).abs() <= 0.51, "{firing:?}");
        }
        for firing in seen.strongest(5) {
            assert_eq!(firing.value, seen.map(firing.channel, MapScale::Channel).high);
        }
    }
}
