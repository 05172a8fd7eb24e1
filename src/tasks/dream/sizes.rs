//! The sizes of octaves. Sizes in arrays are `[height, width]` in pixels.

/// A picture with a shorter side than this shows nothing, whatever the net.
const SMALLEST_SIDE_PX: usize = 16;

/// Larger sizes are not searched when a net refuses small ones.
const LARGEST_SEARCHED_PX: usize = 4096;

/// The size whose longer side is `longest_px`, in the proportions of `size`.
pub fn with_longest_side(size: [usize; 2], longest_px: usize) -> [usize; 2] {
    let longest = size[0].max(size[1]).max(1);
    // In integers, rounded to nearest, so that every machine agrees.
    size.map(|px| ((px as u128 * longest_px as u128 * 2 + longest as u128) / (longest as u128 * 2)).max(1) as usize)
}

/// The sizes of `octaves` octaves, the full size first. Each is the one before times 1/scale, rounded (to even at one
/// half) as `scipy.ndimage.zoom` rounds.
pub fn octave_sizes(full: [usize; 2], octaves: usize, scale: f64) -> Vec<[usize; 2]> {
    let smaller =
        |size: &[usize; 2]| Some(size.map(|px| ((px as f64 * (1.0 / scale)).round_ties_even() as usize).max(1)));
    std::iter::successors(Some(full), smaller).take(octaves).collect()
}

/// How many of `sizes`, from the first on, the net can take: `accepts` says so for one size.
pub fn usable_octaves<E>(sizes: &[[usize; 2]], accepts: impl Fn([usize; 2]) -> Result<(), E>) -> usize {
    let usable = |size: &&[usize; 2]| is_large_enough(**size) && accepts(**size).is_ok();
    sizes.iter().take_while(usable).count()
}

fn is_large_enough(size: [usize; 2]) -> bool {
    size[0].min(size[1]) >= SMALLEST_SIDE_PX
}

/// The smallest size in the proportions of `size` that the net can take, if there is one. A net that takes a size is
/// held to take larger ones too.
pub fn smallest_usable<E>(size: [usize; 2], accepts: impl Fn([usize; 2]) -> Result<(), E>) -> Option<[usize; 2]> {
    let usable = |longest_px: usize| {
        let size = with_longest_side(size, longest_px);
        is_large_enough(size) && accepts(size).is_ok()
    };
    // A long strip reaches the smallest side only when its longest is large.
    let aspect = size[0].max(size[1]).div_ceil(size[0].min(size[1]).max(1));
    let most = LARGEST_SEARCHED_PX.max(SMALLEST_SIDE_PX.saturating_mul(aspect + 1));
    let longest_px = first_that_holds(usable, most)?;
    Some(with_longest_side(size, longest_px))
}

/// The smallest of `1..=most` for which `holds`, when it holds for all larger ones; none when not even for `most`.
fn first_that_holds(holds: impl Fn(usize) -> bool, most: usize) -> Option<usize> {
    let (mut fails, mut works) = (0, most);
    if !holds(works) {
        return None;
    }
    while works - fails > 1 {
        let middle = fails + (works - fails) / 2;
        if holds(middle) { works = middle } else { fails = middle }
    }
    Some(works)
}

/// The largest longer side up to that of `size` for which `fits` holds, when it holds for all smaller ones.
pub fn largest_fitting(size: [usize; 2], fits: impl Fn([usize; 2]) -> bool) -> Option<usize> {
    let (mut works, mut fails) = (0, size[0].max(size[1]));
    while fails - works > 1 {
        let middle = works + (fails - works) / 2;
        if fits(with_longest_side(size, middle)) { works = middle } else { fails = middle }
    }
    (works > 0 && is_large_enough(with_longest_side(size, works))).then_some(works)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octaves_are_those_of_the_2015_notebook() {
        // scipy.ndimage.zoom's sizes of sky1024px.jpg and of an odd picture; see tests/refs/octave_sizes.py.
        let sky = octave_sizes([575, 1024], 4, 1.4);
        assert_eq!(sky, [[575, 1024], [411, 731], [294, 522], [210, 373]]);
        assert_eq!(octave_sizes([5, 7], 3, 2.0), [[5, 7], [2, 4], [1, 2]]);
    }

    #[test]
    fn proportions_are_kept() {
        assert_eq!(with_longest_side([300, 400], 512), [384, 512]);
        assert_eq!(with_longest_side([400, 3], 100), [100, 1]);
        assert_eq!(with_longest_side([1, 1], 64), [64, 64]);
        assert_eq!(with_longest_side([1, 20_000], 10), [1, 10]);
    }

    /// A net that wants a height of 40.
    fn accepts([height, _]: [usize; 2]) -> Result<(), ()> {
        if height >= 40 { Ok(()) } else { Err(()) }
    }

    #[test]
    fn octaves_end_where_the_net_does() {
        assert_eq!(usable_octaves(&octave_sizes([100, 100], 4, 1.4), accepts), 3);
        assert_eq!(usable_octaves(&octave_sizes([39, 100], 4, 1.4), accepts), 0);
        assert_eq!(usable_octaves(&octave_sizes([100, 15], 4, 1.4), |_| Ok::<(), ()>(())), 0);
    }

    #[test]
    fn the_smallest_size_is_found() {
        assert_eq!(smallest_usable([10, 20], accepts), Some([40, 79]));
        assert_eq!(smallest_usable([7, 7], |_| Ok::<(), ()>(())), Some([16, 16]));
        assert_eq!(smallest_usable([1, 9000], |_| Ok::<(), ()>(())).map(|size| size[0]), Some(16));
        assert_eq!(smallest_usable([10, 10], |_| Err::<(), ()>(())), None);
    }

    #[test]
    fn the_largest_size_that_fits_is_found() {
        let fits = |most: usize| move |[height, width]: [usize; 2]| height * width <= most;
        assert_eq!(largest_fitting([4000, 4000], fits(1_000_000)), Some(1000));
        assert_eq!(largest_fitting([4000, 4000], fits(100)), None);
    }
}
