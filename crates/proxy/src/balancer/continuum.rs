//! Consistent hashing: a circle of points, on which every server has some by its weight.
//!
//! Points and hashes are those of Kong, so that nodes of both kinds beside each other send a key to the same server.

use std::fmt::Write as _;

/// The circle: points in ascending order with the server that has them.
pub struct Continuum {
    points: Box<[(u64, u32)]>,
    scale: Scale,
}

/// Where hashes are on the circle.
#[derive(Clone, Copy)]
struct Scale {
    /// Places that a hash is told from by its remainder, as in Kong.
    size: u32,
    /// What each of them is divided into: 1, or so much that no two hashes share a place.
    parts: u64,
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
const POINTS_EACH: u32 = 160;

impl Continuum {
    /// Places the servers on a circle of `size` points; `targets` is how many targets there are, those without a server
    /// included. Those that do not all fit there have a finer circle, on which no server is without its share.
    pub fn build(mut members: Vec<Member<'_>>, targets: usize, size: u32) -> Continuum {
        let size = size.max(MIN_SIZE);
        members.retain(|m| m.weight > 0);
        // The order decides who gets a point that two hash to.
        let order = |m: &Member<'_>| (m.target.0.to_owned(), m.target.1, format!("{}:{}", m.label, m.port));
        members.sort_by_cached_key(order);
        match place(&members, targets, size) {
            Some(points) => Continuum { points, scale: Scale { size, parts: 1 } },
            None => {
                let scale = Scale { size, parts: (1_u64 << 32).div_ceil(u64::from(size)) };
                Continuum { points: place_finely(&members, targets, scale), scale }
            }
        }
    }

    /// Whether all servers have the points that Kong gives them.
    pub fn is_wide_enough(&self) -> bool {
        self.scale.parts == 1
    }

    /// The servers in the order in which they are asked for a hash: who has the point, or the next one below, and so on
    /// around the circle. The same server comes as often as it has points.
    pub fn from(&self, hash: u32) -> impl Iterator<Item = u32> {
        let point = self.scale.place(hash);
        let below = self.points.partition_point(|(p, _)| *p <= point);
        let (before, after) = self.points.split_at(below);
        before.iter().rev().chain(after.iter().rev()).map(|(_, slot)| *slot)
    }
}

impl Scale {
    /// The finer circle has the places of the other one in their order, so that few keys move when it takes over.
    fn place(self, hash: u32) -> u64 {
        let (place, part) = (u64::from(hash % self.size), u64::from(hash / self.size));
        if self.parts == 1 { place } else { place * self.parts + part }
    }
}

impl Member<'_> {
    /// What its points follow from.
    fn hashes(&self) -> impl Iterator<Item = u32> {
        let mut name = format!("{}::{} ", self.label, self.port);
        let stem = name.len();
        (1_u64..).map(move |turn| {
            name.truncate(stem);
            // Writing into memory does not fail.
            let _ = write!(name, "{turn}");
            xxh32(name.as_bytes())
        })
    }
}

/// The points of Kong's circle: who finds one taken has another try. `None`: some server does not come to all of its
/// points within as many tries as there are places; nobody after it is looked at, which would take ever longer.
fn place(members: &[Member<'_>], targets: usize, size: u32) -> Option<Box<[(u64, u32)]>> {
    let total = total(members) as f64;
    // In Kong's arithmetic, which rounds as it does.
    let wanted =
        |m: &Member<'_>| ((f64::from(m.weight) / total * targets as f64 * f64::from(POINTS_EACH)) as u64).max(1);
    if members.iter().map(wanted).sum::<u64>() > u64::from(size) {
        return None;
    }
    let mut taken = vec![u32::MAX; size as usize];
    for member in members {
        let mut missing = wanted(member);
        for hash in member.hashes().take(size as usize) {
            let place = &mut taken[(hash % size) as usize];
            if *place == u32::MAX {
                *place = member.slot;
                missing -= 1;
                if missing == 0 {
                    break;
                }
            }
        }
        if missing > 0 {
            return None;
        }
    }
    Some((0..).zip(taken).filter(|(_, slot)| *slot != u32::MAX).collect())
}

/// Points that nobody has to make room for: a server that comes or goes moves the keys of its own ones only.
fn place_finely(members: &[Member<'_>], targets: usize, scale: Scale) -> Box<[(u64, u32)]> {
    let total = total(members);
    let of = |member: &Member<'_>| {
        let (slot, all) = (member.slot, u128::from(POINTS_EACH) * targets as u128);
        // Exact, so that the points of a server depend on no other one where all weigh the same.
        let wanted = (u128::from(member.weight) * all / u128::from(total.max(1))).max(1);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        member.hashes().take(wanted).map(move |hash| (scale.place(hash), slot)).collect::<Vec<_>>()
    };
    let mut points: Vec<(u64, u32)> = members.iter().flat_map(of).collect();
    // Stable: the first one in order has a point that two hash to.
    points.sort_by_key(|(place, _)| *place);
    points.dedup_by_key(|(place, _)| *place);
    points.into()
}

fn total(members: &[Member<'_>]) -> u64 {
    members.iter().map(|m| u64::from(m.weight)).sum()
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

    fn owners(continuum: &Continuum) -> Vec<u32> {
        (0..20_000_u32).map(|key| continuum.from(xxh32(&key.to_le_bytes())).next().unwrap()).collect()
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
    }

    #[test]
    fn servers_that_do_not_fit_have_their_share_all_the_same() {
        let crowded = Continuum::build(members(&[100; 200]), 200, 10_000);
        assert!(!crowded.is_wide_enough());
        let shares = shares(&crowded, 200);
        assert!(shares.iter().all(|share| (10..150).contains(share)), "{shares:?}");
        // Whatever the weights, nobody is left out.
        let uneven = Continuum::build(members(&[&[1; 50][..], &[60_000; 50]].concat()), 100, 1000);
        let mut seen: Vec<u32> = uneven.from(0).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 100);
    }

    #[test]
    fn where_servers_do_not_fit_only_the_keys_of_one_that_comes_or_goes_move() {
        for servers in [64_usize, 100, 200, 1000] {
            let before = owners(&Continuum::build(members(&vec![100; servers]), servers, 10_000));
            for gone in [0, servers / 2, servers - 1] {
                let left = members(&vec![100; servers]).into_iter().filter(|m| m.slot != gone as u32).collect();
                let left = Continuum::build(left, servers - 1, 10_000);
                assert!(!left.is_wide_enough());
                let after = owners(&left);
                let moved: Vec<u32> =
                    before.iter().zip(&after).filter(|(b, a)| a != b).map(|(before, _)| *before).collect();
                assert!(moved.iter().all(|before| *before == gone as u32), "{gone} of {servers}");
            }
        }
    }

    #[test]
    fn a_circle_that_is_just_wide_enough_is_kongs() {
        let fits = Continuum::build(members(&[100; 50]), 50, 10_000);
        assert!(fits.is_wide_enough());
        assert_eq!(fits.points.len(), 8000);
    }
}
