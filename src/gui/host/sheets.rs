//! Many small pictures as one, no larger than a texture.

use std::sync::Arc;

use egui::{Color32, ColorImage};

use super::Sheet;
use super::pictures::{LARGEST_SIDE_PX, pooled};

/// Sheets are about this wide, as the panel is that shows them, where their height allows it.
const USUAL_WIDTH_PX: usize = 400;
/// Small pictures are enlarged to about this many pixels a side.
const USUAL_CELL_PX: usize = 56;
/// Larger pictures are shrunk to this many pixels a side.
const LARGEST_CELL_PX: usize = 128;
/// Sheets hold no more pictures than this.
const MOST_PICTURES: usize = 2048;
/// The line between the pictures.
const LINE_PX: usize = 1;

/// How pictures of one size are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// `[height, width]` that the pictures have.
    size: [usize; 2],
    /// This many pixels a side become one.
    shrink: usize,
    /// One pixel of the shrunk picture becomes this many a side.
    enlarge: usize,
    columns: usize,
    /// The pictures that have room, from the first.
    pub count: usize,
}

impl Plan {
    /// For `count` pictures of `[height, width]`: as narrow as a texture's height allows, and as many as it has room for.
    pub fn new(count: usize, size: [usize; 2]) -> Self {
        let longest = size[0].max(size[1]).max(1);
        let shrink = longest.div_ceil(LARGEST_CELL_PX);
        let enlarge = (USUAL_CELL_PX / longest).max(1);
        let plan = Self { size, shrink, enlarge, columns: 1, count: count.min(MOST_PICTURES) };
        let [height, width] = plan.cell_px();
        let [most_rows, most_columns] = [height, width].map(|side| (LARGEST_SIDE_PX / side).max(1));
        let for_height = plan.count.div_ceil(most_rows);
        let columns = (USUAL_WIDTH_PX / width).max(for_height).clamp(1, most_columns.min(plan.count.max(1)));
        Self { columns, count: plan.count.min(columns * most_rows), ..plan }
    }

    /// `[height, width]` of one picture with its line.
    fn cell_px(&self) -> [usize; 2] {
        self.size.map(|side| side.div_ceil(self.shrink) * self.enlarge + LINE_PX)
    }

    /// `[height, width]` of the sheet.
    fn sheet_px(&self) -> [usize; 2] {
        let [height, width] = self.cell_px();
        [self.count.div_ceil(self.columns) * height, self.columns * width]
    }

    /// Makes a picture as large as it will be shown, but for whole enlargement: `N` bytes a pixel, row by row.
    pub fn shrunk<const N: usize>(&self, picture: &[u8]) -> Vec<u8> {
        pooled::<N>(picture, self.size, self.shrink).1
    }

    /// Lays out RGB pictures that [`Plan::shrunk`] has made, in their order.
    pub fn lay_out(&self, shrunk: impl Iterator<Item = Vec<u8>>) -> Sheet {
        let [height, width] = self.size.map(|side| side.div_ceil(self.shrink));
        let cell_px = self.cell_px();
        let [sheet_height, sheet_width] = self.sheet_px();
        let mut image = ColorImage::filled([sheet_width, sheet_height], Color32::TRANSPARENT);
        for (i, picture) in shrunk.take(self.count).enumerate() {
            let (left, top) = (i % self.columns * cell_px[1], i / self.columns * cell_px[0]);
            for y in 0..height * self.enlarge {
                let row = (top + y) * sheet_width + left;
                for x in 0..width * self.enlarge {
                    let at = 3 * (y / self.enlarge * width + x / self.enlarge);
                    if let Some(&[r, g, b]) = picture.get(at..at + 3).and_then(|rgb| rgb.as_array()) {
                        image.pixels[row + x] = Color32::from_rgb(r, g, b);
                    }
                }
            }
        }
        Sheet { image: Arc::new(image), columns: self.columns, count: self.count, cell_px }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_knows_its_pictures() {
        let plan = Plan { size: [2, 3], shrink: 1, enlarge: 2, columns: 2, count: 5 };
        let sheet = plan.lay_out((0..5).map(|i| vec![i * 10; 2 * 3 * 3]));
        assert_eq!((sheet.cell_px, sheet.image.size), ([5, 7], [14, 15]));
        let at = |x: usize, y: usize| (sheet.index_at(x, y), sheet.image.pixels[y * 14 + x].r());
        assert_eq!([at(0, 0), at(12, 3), at(5, 13)], [(Some(0), 0), (Some(1), 10), (Some(4), 40)]);
        assert_eq!((sheet.index_at(8, 12), sheet.index_at(14, 0)), (None, None));
    }

    #[test]
    fn sheets_fit_a_texture_and_show_all_that_has_room() {
        // How many, how large, how many of them are shown, and how large each.
        let cases = [
            (64, [512, 341], 64, [129, 87]),
            (1024, [7, 7], 1024, [57, 57]),
            (3, [4096, 4096], 3, [129, 129]),
            (2048, [1, 1], 2048, [57, 57]),
            (96, [256, 256], 96, [129, 129]),
            (5000, [1, 1], 2048, [57, 57]),
            (2000, [128, 128], 961, [129, 129]),
            (2000, [5000, 1], 2000, [126, 2]),
            (2000, [1, 5000], 2000, [2, 126]),
            (1, [1, 1], 1, [57, 57]),
            (0, [3, 3], 0, [55, 55]),
            (7, [0, 0], 7, [1, 1]),
        ];
        let mut failures = Vec::new();
        for (count, size, shown, cell_px) in cases {
            let plan = Plan::new(count, size);
            let [height, width] = plan.sheet_px();
            let fits = width.max(height) <= LARGEST_SIDE_PX;
            // No wider than a panel, unless a texture would not be high enough.
            let is_narrow =
                width <= USUAL_WIDTH_PX.max(cell_px[1]) || (plan.columns - 1) * (LARGEST_SIDE_PX / cell_px[0]) < count;
            if !fits || !is_narrow || (plan.count, plan.cell_px()) != (shown, cell_px) {
                failures.push(format!("{count} of {size:?}: {plan:?} is {height}×{width}, cells {:?}", plan.cell_px()));
            }
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }

    #[test]
    fn large_pictures_are_averaged() {
        let plan = Plan::new(2, [130, 256]);
        let picture: Vec<u8> = (0..130 * 256).map(|i| if i % 2 == 0 { 100 } else { 200 }).collect();
        let small = plan.shrunk::<1>(&picture);
        assert_eq!(small.len(), 65 * 128);
        assert!(small.iter().all(|&value| value == 150));
        let sheet = plan
            .lay_out([small.clone(), small].into_iter().map(|gray| gray.into_iter().flat_map(|v| [v; 3]).collect()));
        assert_eq!((sheet.image.size, sheet.index_at(129, 64)), ([2 * 129, 66], Some(1)));
        assert_eq!(sheet.image.pixels[64 * 258 + 256], Color32::from_gray(150));
    }
}
