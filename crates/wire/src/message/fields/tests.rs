use super::*;

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
