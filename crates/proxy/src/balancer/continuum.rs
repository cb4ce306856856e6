//! Consistent hashing: a circle of points, on which every server has some by its weight.
//!
//! Points and hashes are those of Kong, so that nodes of both kinds beside each other send a key to the same server.

/// The circle: points in ascending order with the server that has them.
pub struct Continuum {
    points: Box<[(u32, u32)]>,
    size: u32,
}

/// One server as it stands on the circle.
pub struct Member<'a> {
    /// Its index in the plan.
    pub slot: u32,
    /// Host and port of the target, which decide the order.
    pub target: (&'a str, u16),
    /// Its own address (or the name in an SRV record) and port.
    pub label: &'a str,
    pub port: u16,
    pub weight: u32,
}

/// Circles are not smaller than that.
const MIN_SIZE: u32 = 1000;
/// Points of a server when all weigh the same.
const POINTS_EACH: f64 = 160.0;

impl Continuum {
    /// Places the servers on a circle of `size` points; `targets` is how many targets there are, those without a server
    /// included.
    pub fn build(mut members: Vec<Member<'_>>, targets: usize, size: u32) -> Continuum {
        let size = size.max(MIN_SIZE);
        // The order decides who gets a point that two hash to.
        let order = |m: &Member<'_>| (m.target.0.to_owned(), m.target.1, format!("{}:{}", m.label, m.port));
        members.sort_by_cached_key(order);
        let total: u64 = members.iter().map(|m| u64::from(m.weight)).sum();
        let mut taken = vec![u32::MAX; size as usize];
        let mut free = size;
        for member in members.iter().filter(|m| m.weight > 0) {
            let share = f64::from(member.weight) / total as f64;
            let mut wanted = ((share * targets as f64 * POINTS_EACH) as u64).max(1);
            let mut turn = 1;
            while turn <= wanted && turn <= u64::from(size) && free > 0 {
                let point = xxh32(format!("{}::{} {turn}", member.label, member.port).as_bytes()) % size;
                match &mut taken[point as usize] {
                    place if *place == u32::MAX => {
                        *place = member.slot;
                        free -= 1;
                    }
                    // Taken: one more try for this server.
                    _ => wanted += 1,
                }
                turn += 1;
            }
        }
        let points = (0..size).zip(taken).filter(|(_, slot)| *slot != u32::MAX).collect();
        Continuum { points, size }
    }

    /// The servers in the order in which they are asked for a hash: who has the point, or the next one below, and so on
    /// around the circle. The same server comes as often as it has points.
    pub fn from(&self, hash: u32) -> impl Iterator<Item = u32> {
        let point = hash % self.size;
        let below = self.points.partition_point(|(p, _)| *p <= point);
        let (before, after) = self.points.split_at(below);
        before.iter().rev().chain(after.iter().rev()).map(|(_, slot)| *slot)
    }
}

/// The 32-bit xxHash with seed 0.
pub fn xxh32(data: &[u8]) -> u32 {
    const P1: u32 = 0x9E37_79B1;
    const P2: u32 = 0x85EB_CA77;
    const P3: u32 = 0xC2B2_AE3D;
    const P4: u32 = 0x27D4_EB2F;
    const P5: u32 = 0x1656_67B1;
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0u32, |word, b| word << 8 | u32::from(*b));
    let blocks = data.chunks_exact(16);
    let tail = blocks.remainder();
    let mut hash = P5;
    if data.len() >= 16 {
        let mut lanes = [P1.wrapping_add(P2), P2, 0, 0u32.wrapping_sub(P1)];
        for block in blocks {
            for (lane, bytes) in lanes.iter_mut().zip(block.chunks_exact(4)) {
                *lane = lane.wrapping_add(word(bytes).wrapping_mul(P2)).rotate_left(13).wrapping_mul(P1);
            }
        }
        let [a, b, c, d] = lanes;
        hash = a
            .rotate_left(1)
            .wrapping_add(b.rotate_left(7))
            .wrapping_add(c.rotate_left(12))
            .wrapping_add(d.rotate_left(18));
    }
    hash = hash.wrapping_add(data.len() as u32);
    let words = tail.chunks_exact(4);
    let rest = words.remainder();
    for bytes in words {
        hash = hash.wrapping_add(word(bytes).wrapping_mul(P3)).rotate_left(17).wrapping_mul(P4);
    }
    for byte in rest {
        hash = hash.wrapping_add(u32::from(*byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
    }
    hash = (hash ^ hash >> 15).wrapping_mul(P2);
    hash = (hash ^ hash >> 13).wrapping_mul(P3);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(weights: &[u32]) -> Vec<Member<'static>> {
        let member = |(i, weight): (usize, &u32)| Member {
            slot: i as u32,
            target: ("127.0.0.1", 8000 + i as u16),
            label: "127.0.0.1",
            port: 8000 + i as u16,
            weight: *weight,
        };
        weights.iter().enumerate().map(member).collect()
    }

    fn shares(continuum: &Continuum, servers: usize) -> Vec<usize> {
        let mut counts = vec![0; servers];
        for key in 0..10_000u32 {
            counts[continuum.from(xxh32(&key.to_le_bytes())).next().unwrap() as usize] += 1;
        }
        counts
    }

    #[test]
    fn xxh32_gives_the_published_values() {
        assert_eq!(xxh32(b""), 0x02CC_5D05);
        assert_eq!(xxh32(b"a"), 0x550D_7456);
        assert_eq!(xxh32(b"abc"), 0x32D1_53FF);
        assert_eq!(xxh32(b"Nobody inspects the spammish repetition"), 0xE229_3B2F);
    }

    #[test]
    fn shares_follow_the_weights() {
        let shares = shares(&Continuum::build(members(&[100, 100, 200, 0]), 4, 10_000), 4);
        assert!(shares[0] > 1500 && shares[1] > 1500 && shares[2] > 4000, "{shares:?}");
        assert_eq!(shares[3], 0);
    }

    #[test]
    fn a_server_that_comes_takes_only_its_share() {
        let before = Continuum::build(members(&[100; 4]), 4, 10_000);
        let after = Continuum::build(members(&[100; 5]), 5, 10_000);
        let server = |c: &Continuum, key: u32| c.from(xxh32(&key.to_le_bytes())).next().unwrap();
        let moved = (0..10_000).filter(|&k| server(&before, k) != server(&after, k)).count();
        assert!((1000..3500).contains(&moved), "{moved} of 10000 moved");
        assert!((0..10_000).all(|k| server(&before, k) == server(&after, k) || server(&after, k) == 4));
    }

    #[test]
    fn every_server_is_reached_from_any_point() {
        let continuum = Continuum::build(members(&[1, 1, 60_000]), 3, 1000);
        for hash in [0, 1, 999, 500, u32::MAX] {
            let mut seen: Vec<u32> = continuum.from(hash).collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen, [0, 1, 2]);
        }
        assert_eq!(Continuum::build(Vec::new(), 0, 10).from(7).next(), None);
        let crowded = Continuum::build(members(&[1; 50]), 5000, 1000);
        assert!(crowded.from(0).count() <= 1000);
    }
}
