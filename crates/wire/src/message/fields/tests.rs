//! Tests of lists of field lines: edits, what they know of names, and how they are written.

use super::*;
use crate::message::last_head::Comparison;

fn text(fields: &Fields) -> String {
    let mut out = Vec::new();
    fields.write_to(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn edits_keep_order_and_spelling() {
    let mut f: Fields = [("Host", "a"), ("X-A", "1"), ("x-a", "2"), ("Accept", "*/*")].into_iter().collect();
    assert_eq!(f.get_all("X-a").collect::<Vec<_>>(), [b"1", b"2"]);
    f.set("x-A", b"3");
    f.set_known(Known::Host, b"b");
    f.append("X-New", b"n");
    assert!(f.remove("ACCEPT"));
    assert!(!f.remove("accept"));
    assert_eq!(text(&f), "Host: b\r\nx-A: 3\r\nX-New: n\r\n");
    assert_eq!(f.len(), 3);
    assert_eq!(f.get_str("host"), Some("b"));
    let mut g: Fields = [("Via", "1"), ("X-Z", "2")].into_iter().collect();
    g.append_all(&f);
    g.set("x-Z", b"3");
    assert_eq!(text(&g), "Via: 1\r\nx-Z: 3\r\nHost: b\r\nx-A: 3\r\nX-New: n\r\n");
    assert_eq!(g.get_str("host"), Some("b"));
    assert_eq!(g.get_str("X-NEW"), Some("n"));
    assert!(!f.has(Known::Accept));
}

#[test]
fn raw_lines_are_copied_as_they_stood() {
    let head = b"Host:a\r\nX-A:   1 \r\nX-B: 2\r\n";
    let mut f = Fields::new();
    f.push_raw(b"Host", 0, (5, 1), 8);
    f.push_raw(b"X-A", 8, (15, 1), 19);
    f.push_raw(b"X-B", 19, (24, 1), 27);
    f.finish_load(head, 0, Comparison::default());
    assert_eq!(text(&f).as_bytes(), head);
    f.remove("x-a");
    assert_eq!(text(&f), "Host:a\r\nX-B: 2\r\n");
    f.append("Host2", b"z");
    assert_eq!(text(&f), "Host:a\r\nX-B: 2\r\nHost2: z\r\n");
}

#[test]
fn a_list_takes_the_place_of_lines_of_the_same_names() {
    let mut f: Fields = [("X-A", "1"), ("Via", "1"), ("X-B", "1"), ("x-a", "2")].into_iter().collect();
    let mut g: Fields = [("VIA", "3"), ("X-a", "3"), ("X-C", "3"), ("X-B", "3")].into_iter().collect();
    g.remove("x-b");
    f.replace_all(&g);
    assert_eq!(text(&f), "X-B: 1\r\nVIA: 3\r\nX-a: 3\r\nX-C: 3\r\n");
    assert_eq!(f.get_str("x-A"), Some("3"));
    assert_eq!(f.get_all("via").count(), 1);
}

#[test]
fn values_are_overwritten_where_they_stand() {
    let mut f: Fields = [("X-A", "12"), ("Via", "345"), ("X-B", "6")].into_iter().collect();
    assert!(f.overwrite_at(0, b"21"));
    assert!(f.overwrite_at(1, b"543"));
    assert!(!f.overwrite_at(2, b"10"), "it has another length");
    assert!(!f.overwrite_at(3, b"1"));
    f.remove("x-b");
    assert!(!f.overwrite_at(2, b"7"), "it is no line any more");
    assert_eq!(text(&f), "X-A: 21\r\nVia: 543\r\n");
}

#[test]
fn known_names_are_found_in_lists_that_were_put_together() {
    let mut f: Fields = [("X-A", "1"), ("Via", "1")].into_iter().collect();
    let mut g: Fields = [("Host", "a"), ("X-B", "2"), ("Accept", "b"), ("accept", "c")].into_iter().collect();
    g.remove_known(Known::Host);
    f.append_all(&g);
    assert_eq!(f.known(Known::Host), None);
    assert_eq!(f.known_all(Known::Accept).collect::<Vec<_>>(), [b"b", b"c"]);
    f.set_known(Known::Accept, b"d");
    assert_eq!(text(&f), "X-A: 1\r\nVia: 1\r\nX-B: 2\r\nAccept: d\r\n");
}

#[test]
fn a_copy_into_a_list_is_as_a_new_one() {
    let f: Fields = [("Host", "a"), ("X-A", "1"), ("x-a", "2")].into_iter().collect();
    let mut g: Fields = [("Via", "1"), ("X-Z", "2"), ("X-Y", "2"), ("X-X", "2")].into_iter().collect();
    g.clone_from(&f);
    assert_eq!(text(&g), text(&f));
    assert_eq!((g.known(Known::Host), g.known(Known::Via)), (Some(&b"a"[..]), None));
    assert_eq!(g.get_all("X-A").count(), 2);
}

#[test]
fn values_can_be_extended() {
    let mut f = Fields::new();
    f.push_raw(b"Host", 0, (5, 1), 9);
    f.push_raw(b"ACCEPT", 9, (17, 3), 22);
    f.finish_load(b"Host:a \r\nACCEPT: a/b\r\n", 0, Comparison::default());
    f.append("Accept", b"e/f");
    f.extend_known(Known::Host, b"b");
    f.extend_known(Known::Accept, b"; c=d");
    f.extend_known(Known::Via, b"nothing");
    assert_eq!(text(&f), "Host:ab\r\nACCEPT: a/b; c=d\r\nAccept: e/f\r\n");
    assert_eq!(f.get_str("accept"), Some("a/b; c=d"));
}

#[test]
fn values_and_names_are_checked() {
    assert!(Fields::is_valid_value("a\tü b".as_bytes()));
    assert!(!Fields::is_valid_value(b"a\r\nX: y"));
    for at in 0..20 {
        let mut text = *b"a value long enough.";
        for (octet, valid) in
            [(0, false), (9, true), (31, false), (32, true), (126, true), (127, false), (128, true), (255, true)]
        {
            text[at] = octet;
            assert_eq!(Fields::is_valid_value(&text), valid, "{octet} at {at}");
        }
    }
    assert!(Fields::is_valid_name(b"X-A_b"));
    assert!(!Fields::is_valid_name(b"X A") && !Fields::is_valid_name(b""));
}

#[test]
fn lists_do_what_pairs_would_do() {
    const NAMES: [(&str, Known); 4] =
        [("Host", Known::Host), ("Via", Known::Via), ("TE", Known::Te), ("X-A", Known::Other)];
    let mut random = 1_u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    for round in 0..300 {
        let (mut fields, mut pairs) = (Fields::new(), Vec::<(&str, String)>::new());
        // Beyond the last place that has a number.
        for n in 0..[0, 3, 254, 300][round % 4] {
            fields.append("X-Other", b"x");
            pairs.push(("X-Other", "x".to_owned()));
            if n == 100 {
                fields.append_known(Known::Via, b"among others");
                pairs.push(("Via", "among others".to_owned()));
            }
        }
        for step in 0..30 {
            let (name, known) = NAMES[next(4)];
            let value = format!("{step}");
            let place = pairs.iter().position(|(other, _)| *other == name);
            match (next(6), known) {
                (0, Known::Other) | (1, _) => {
                    fields.append(name, value.as_bytes());
                    pairs.push((name, value));
                }
                (0, _) => {
                    fields.append_known(known, value.as_bytes());
                    pairs.push((name, value));
                }
                (2, _) => {
                    match known {
                        Known::Other => fields.set(name, value.as_bytes()),
                        _ => fields.set_known(known, value.as_bytes()),
                    }
                    match place {
                        None => pairs.push((name, value)),
                        Some(place) => {
                            pairs[place].1 = value;
                            let mut index = 0;
                            pairs.retain(|(other, _)| {
                                index += 1;
                                *other != name || index - 1 <= place
                            });
                        }
                    }
                }
                (3, _) => {
                    assert_eq!(fields.remove(name), place.is_some());
                    pairs.retain(|(other, _)| *other != name);
                }
                (4, _) => {
                    let mut more: Fields = [(name, "a"), ("Via", "b"), (name, "c"), ("X-B", "d")].into_iter().collect();
                    more.remove("x-b");
                    fields.append_all(&more);
                    pairs.extend([(name, "a".to_owned()), ("Via", "b".to_owned()), (name, "c".to_owned())]);
                }
                _ => {
                    let last = pairs.iter_mut().rev().find(|(other, _)| *other == name && known != Known::Other);
                    let fits = last.as_ref().is_some_and(|(_, before)| before.len() == value.len());
                    if known != Known::Other {
                        assert_eq!(fields.overwrite_known(known, value.as_bytes()), fits);
                    }
                    last.into_iter().filter(|_| fits).for_each(|(_, before)| *before = value.clone());
                }
            }
            let expected: String = pairs.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            assert_eq!(text(&fields), expected);
            for (name, known) in NAMES {
                let values: Vec<&[u8]> = pairs.iter().filter(|(n, _)| *n == name).map(|(_, v)| v.as_bytes()).collect();
                assert_eq!(fields.get_all(name).collect::<Vec<_>>(), values);
                if known != Known::Other {
                    assert_eq!(fields.known(known), values.first().copied());
                    assert_eq!(fields.known_all(known).collect::<Vec<_>>(), values);
                }
            }
        }
    }
}
