//! Which column stands left of which.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::columns::{Columns, Link};

/// How often every column may move to a better place once all stand.
const ROUNDS: usize = 2;

/// With more columns than this, crossings are not counted: it would take seconds.
const MOST_COUNTED: usize = 2_000;

/// All columns from left to right.
pub fn order(columns: &Columns) -> Vec<usize> {
    let mut standing = Standing::new(columns);
    let insertion = insertion_order(columns, &standing.links_of);
    if columns.all.len() > MOST_COUNTED {
        // On either side in turn, the longest ones next to the middle.
        let (right, left): (Vec<_>, Vec<_>) = insertion.iter().enumerate().partition(|(i, _)| i % 2 == 0);
        return left.iter().rev().chain(&right).map(|&(_, &column)| column).collect();
    }
    for &column in &insertion {
        standing.insert(column, None);
    }
    for _ in 0..ROUNDS {
        for &column in insertion.iter().filter(|&&column| column != Columns::MAIN) {
            let old = standing.remove(column);
            standing.insert(column, Some(old));
        }
    }
    standing.order
}

/// The main column, then always the longest one that is linked to one before it, so that what is short comes between
/// what is long and the middle.
fn insertion_order(columns: &Columns, links_of: &[Vec<Link>]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut seen = vec![false; columns.all.len()];
    let mut waiting = BinaryHeap::new();
    // Columns that hang on nothing come last, in their order.
    for start in 0..columns.all.len() {
        if !std::mem::replace(&mut seen[start], true) {
            waiting.push((usize::MAX, Reverse(start)));
        }
        while let Some((_, Reverse(column))) = waiting.pop() {
            found.push(column);
            for link in &links_of[column] {
                let other = link.other(column);
                if !std::mem::replace(&mut seen[other], true) {
                    waiting.push((columns.all[other].last - columns.all[other].first, Reverse(other)));
                }
            }
        }
    }
    found
}

impl Link {
    fn other(&self, column: usize) -> usize {
        if self.upper == column { self.lower } else { self.upper }
    }
}

/// The columns that stand, while others wait.
struct Standing<'a> {
    columns: &'a Columns,
    order: Vec<usize>,
    /// Where in `order` a column is; `None` while it waits.
    rank: Vec<Option<usize>>,
    /// By column.
    links_of: Vec<Vec<Link>>,
    /// By row.
    links_below: Vec<Vec<Link>>,
}

impl<'a> Standing<'a> {
    fn new(columns: &'a Columns) -> Self {
        let mut links_of = vec![Vec::new(); columns.all.len()];
        let mut links_below = vec![Vec::new(); columns.rows];
        for &link in &columns.links {
            links_of[link.upper].push(link);
            links_of[link.lower].push(link);
            links_below[link.row].push(link);
        }
        Self { columns, order: Vec::new(), rank: vec![None; columns.all.len()], links_of, links_below }
    }

    fn remove(&mut self, column: usize) -> usize {
        let at = self.rank[column].take().unwrap_or(0);
        self.order.remove(at);
        self.rerank(at);
        at
    }

    fn rerank(&mut self, from: usize) {
        for (rank, &column) in self.order.iter().enumerate().skip(from) {
            self.rank[column] = Some(rank);
        }
    }

    /// Puts a column next to one that it is linked to, or where it was before: the cheapest place, the first of equals.
    fn insert(&mut self, column: usize, old: Option<usize>) {
        let beside = self.links_of[column].iter().filter_map(|link| self.rank[link.other(column)]);
        let mut places: Vec<usize> = Vec::new();
        for place in old.into_iter().chain(beside.flat_map(|rank| [rank + 1, rank])) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let at = places.into_iter().min_by_key(|&place| self.cost(column, place)).unwrap_or(self.order.len());
        self.order.insert(at, column);
        self.rerank(at);
    }

    /// What a waiting column costs at `place`: crossings, then how crowded that side of the middle is.
    fn cost(&self, column: usize, place: usize) -> (usize, usize) {
        (self.crossings_of_its_links(column, place) + self.links_over(column, place), self.neighbours(column, place))
    }

    /// The rank that a standing column will have once one stands at `place`.
    fn rank_beside(&self, other: usize, place: usize) -> Option<usize> {
        self.rank[other].map(|rank| rank + usize::from(rank >= place))
    }

    fn crossings_of_its_links(&self, column: usize, place: usize) -> usize {
        let mut crossings = 0;
        for link in &self.links_of[column] {
            let Some(end) = self.rank_beside(link.other(column), place) else { continue };
            let (low, high) = (place.min(end), place.max(end));
            // Ranks before the insertion: `place` itself is not taken yet.
            let between = if end > place { place..end - 1 } else { end + 1..place };
            crossings += self.order[between].iter().filter(|&&other| self.passes(other, link.row)).count();
            let (upper, lower) = if link.upper == column { (place, end) } else { (end, place) };
            for other in &self.links_below[link.row] {
                let ends = (self.rank_beside(other.upper, place), self.rank_beside(other.lower, place));
                let (Some(other_upper), Some(other_lower)) = ends else { continue };
                let apart = other_upper.max(other_lower) < low || other_upper.min(other_lower) > high;
                crossings += usize::from(
                    !apart
                        && (other_upper < upper) != (other_lower < lower)
                        && other_upper != upper
                        && other_lower != lower,
                );
            }
        }
        crossings
    }

    /// Links of other columns that would cross this one.
    fn links_over(&self, column: usize, place: usize) -> usize {
        let span = self.columns.all[column];
        let over = |link: &&Link| {
            let (Some(upper), Some(lower)) = (self.rank[link.upper], self.rank[link.lower]) else { return false };
            (upper < place) != (lower < place)
        };
        (span.first..span.last).map(|row| self.links_below[row].iter().filter(over).count()).sum()
    }

    /// Whether the column goes straight from `row` to the next one.
    fn passes(&self, column: usize, row: usize) -> bool {
        let span = self.columns.all[column];
        span.first <= row && row < span.last
    }

    /// How many columns on the same side of the middle stand in the rows of this one.
    fn neighbours(&self, column: usize, place: usize) -> usize {
        let Some(main) = self.rank[Columns::MAIN] else { return 0 };
        let same_side = if place > main { &self.order[main + 1..] } else { &self.order[..main] };
        let own = self.columns.all[column];
        let meets = |&&other: &&usize| {
            let other = self.columns.all[other];
            other.first <= own.last && own.first <= other.last
        };
        same_side.iter().filter(meets).count()
    }
}
