//! Numbers as the window shows them.

/// `640×427` of `[height, width]`.
pub fn size([height, width]: [usize; 2]) -> String {
    format!("{width}×{height}")
}
