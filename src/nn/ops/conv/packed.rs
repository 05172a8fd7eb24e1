//! Weights packed once for the register tile: panels of 16 or 32 output channels, taps and source channels in order.

use super::lattice::TapGroup;
use super::tile::TileSize;
use crate::base::parallel;
use crate::base::simd::LANES;

/// The packed weights of one group of taps and one group of channels.
#[derive(Clone, Debug)]
pub struct PackedWeights {
    /// Source channels.
    pub depth: usize,
    pub taps: usize,
    pub panels: Vec<Panel>,
    data: Vec<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panel {
    /// The first output channel.
    pub column: usize,
    /// Output channels in the panel; the packed width is the next multiple of 16.
    pub columns: usize,
    start: usize,
}

impl Panel {
    /// Panels for `columns` output channels, of `rows` rows each.
    pub fn cut(tile: TileSize, columns: usize, rows: usize) -> Vec<Self> {
        let mut start = 0;
        let firsts = (0..columns).step_by(tile.columns);
        let panel = |column: usize| {
            let panel = Self { column, columns: (columns - column).min(tile.columns), start };
            start += rows * panel.width();
            panel
        };
        firsts.map(panel).collect()
    }

    /// Where it begins in the packed data, in floats.
    pub fn start(&self) -> usize {
        self.start
    }

    /// 16 or 32 packed columns.
    pub fn width(&self) -> usize {
        self.columns.next_multiple_of(LANES)
    }
}

impl PackedWeights {
    /// Packs `weight(column, depth index, tap)` for `columns` output channels and `depth` source channels.
    pub fn new(
        tile: TileSize,
        columns: usize,
        depth: usize,
        taps: &TapGroup,
        weight: impl Fn(usize, usize, [usize; 2]) -> f32,
    ) -> Self {
        let panels = Panel::cut(tile, columns, taps.len() * depth);
        let mut data = Vec::new();
        for panel in &panels {
            for &tap in taps {
                for k in 0..depth {
                    data.extend((0..panel.columns).map(|c| weight(panel.column + c, k, tap)));
                    data.resize(data.len() + panel.width() - panel.columns, 0.0);
                }
            }
        }
        Self { depth, taps: taps.len(), panels, data }
    }

    /// Packs other weights of the same numbers of columns, channels and taps in place of these.
    pub fn repack(&mut self, taps: &TapGroup, weight: impl Fn(usize, usize, [usize; 2]) -> f32 + Sync) {
        debug_assert_eq!(taps.len(), self.taps);
        let depth = self.depth;
        for panel in &self.panels {
            let rows = &mut self.data[panel.start..panel.start + taps.len() * depth * panel.width()];
            parallel::for_each_chunk_mut(rows, depth * panel.width(), |tap, rows| {
                for (k, row) in rows.chunks_exact_mut(panel.width()).enumerate() {
                    for (c, packed) in row[..panel.columns].iter_mut().enumerate() {
                        *packed = weight(panel.column + c, k, taps[tap]);
                    }
                }
            });
        }
    }

    /// `taps · depth` rows of [`Panel::width`] weights.
    pub fn panel(&self, panel: &Panel) -> &[f32] {
        &self.data[panel.start..panel.start + self.taps * self.depth * panel.width()]
    }

    pub fn bytes(&self) -> usize {
        self.data.len() * size_of::<f32>()
    }
}
