//! Weighted round robin: a cycle in which each server has exactly its share, as evenly spread as can be.

/// Cycles are not longer than that (or eight turns for each server, where there are more servers). Beyond it, shares
/// are rounded, and every server with a weight keeps at least one turn.
const MAX_TURNS: u64 = 65_536;

/// Indices of `weights` in the order of their turns: each as often as its weight over the greatest common divisor of
/// all. Servers of weight 0 get no turn; with none left the cycle is empty.
pub fn build(weights: &[u32]) -> Box<[u32]> {
    let divisor = weights.iter().fold(0, |divisor, &weight| gcd(divisor, weight));
    if divisor == 0 {
        return Box::default();
    }
    let total: u64 = weights.iter().map(|&w| u64::from(w / divisor)).sum();
    let most = MAX_TURNS.max(weights.len() as u64 * 8);
    let turns_of = |weight: u32| match u64::from(weight / divisor) {
        0 => 0,
        exact if total <= most => exact,
        exact => (exact * most / total).max(1),
    };
    let mut turns = Vec::with_capacity(total.min(most) as usize);
    for (index, &weight) in weights.iter().enumerate() {
        let share = turns_of(weight);
        turns.extend((0..share).map(|turn| ((turn as f64 + 0.5) / share as f64, index as u32)));
    }
    turns.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    turns.into_iter().map(|(_, index)| index).collect()
}

/// The greatest common divisor; with 0 it is the other number.
pub fn gcd(a: u32, b: u32) -> u32 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(weights: &[u32]) -> Vec<usize> {
        let wheel = build(weights);
        (0..weights.len()).map(|i| wheel.iter().filter(|&&w| w as usize == i).count()).collect()
    }

    #[test]
    fn a_cycle_holds_the_exact_shares() {
        assert_eq!(shares(&[100, 100]), [1, 1]);
        assert_eq!(shares(&[100, 300]), [1, 3]);
        assert_eq!(shares(&[10, 20, 70]), [1, 2, 7]);
        assert_eq!(shares(&[0, 5, 10]), [0, 1, 2]);
        assert_eq!(shares(&[7]), [1]);
        assert!(build(&[]).is_empty() && build(&[0, 0]).is_empty());
    }

    #[test]
    fn turns_are_spread() {
        assert_eq!(*build(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(*build(&[100, 300]), [1, 0, 1, 1]);
        let wheel = build(&[1, 5]);
        assert!(wheel.windows(2).all(|w| w != [0, 0]));
    }

    #[test]
    fn long_cycles_are_bounded_and_leave_nobody_out() {
        let weights: Vec<u32> = (0..1000).map(|i| 65_535 - i).chain([1]).collect();
        let wheel = build(&weights);
        assert!(wheel.len() <= 66_000, "{}", wheel.len());
        assert!(wheel.contains(&1000));
        assert_eq!(shares(&[65_535, 1]), [65_535, 1]);
    }
}
