//! Segments of paths, as expressions count them.

/// The segments of a path; empty ones at its end do not count.
pub fn segments(path: &str) -> impl Iterator<Item = &str> {
    let path = path.strip_prefix('/').unwrap_or(path).trim_end_matches('/');
    path.split('/').filter(move |_| !path.is_empty())
}

/// Some segments as they stand in the path.
pub fn segment_range(path: &str, from: usize, to: Option<usize>) -> Option<&str> {
    let first = segments(path).nth(from)?;
    let last = match to {
        Some(to) if to <= from => return None,
        Some(to) => segments(path).nth(to)?,
        None => first,
    };
    // Both are parts of the path.
    let start = first.as_ptr().addr() - path.as_ptr().addr();
    let end = last.as_ptr().addr() - path.as_ptr().addr() + last.len();
    path.get(start..end)
}
