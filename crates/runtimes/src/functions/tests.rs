//! Code as plugins run it.

use super::{PostFunction, PreFunction, is_code, is_code_of};
use sdk::{Answer, Bytes, Env, Exchange, Phases, Plugin, Version, testing};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn plugin(config: Value) -> Box<dyn Plugin> {
    testing::configure(&PreFunction, config, &Env::default())
}

/// What access code answers.
fn answer(code: &str) -> Option<Answer> {
    let mut exchange = testing::exchange("POST", "/a/b?x=1&y&x=2", &[("Host", "h.test:80"), ("X-T", "v")]);
    access(code, &mut exchange)
}

fn access(code: &str, exchange: &mut Exchange) -> Option<Answer> {
    testing::access(&*plugin(json!({ "access": [code] })), exchange)
}

/// What an expression is, as text.
fn value(expression: &str) -> String {
    let answer = answer(&format!("return kong.response.exit(200, tostring({expression}))")).unwrap();
    assert_eq!(answer.status, 200, "{expression}: {answer:?}");
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[test]
fn code_answers() {
    let exit = answer(r#"kong.response.exit(418, {hello = "world", list = {1, 2}}, {["x-by"] = "code"}) error("x")"#);
    let exit = exit.unwrap();
    assert_eq!(exit.status, 418);
    assert_eq!(serde_json::from_slice::<Value>(&exit.body).unwrap(), json!({ "hello": "world", "list": [1, 2] }));
    assert_eq!(exit.fields.get_str("x-by"), Some("code"));
    assert_eq!(answer("pcall(kong.response.exit, 404) kong.response.exit(200)").unwrap().status, 404);
    assert_eq!(answer("kong.response.error(403)").unwrap().status, 403);
    assert!(answer("local x = 1").is_none());
}

#[test]
fn calls_of_grpc_are_answered_in_lines() {
    let answered = |code: &str| {
        let mut exchange = testing::exchange("POST", "/", &[("Content-Type", "application/grpc")]);
        exchange.request.version = Version::Http2;
        let answer = access(code, &mut exchange).unwrap();
        let line = |name: &str| answer.fields.get_str(name).unwrap_or("-").to_owned();
        (answer.status, line("grpc-status"), line("grpc-message"), answer.body.to_vec())
    };
    let expected = |status, code: &str, message: &str| (status, code.to_owned(), message.to_owned(), Vec::new());
    assert_eq!(answered("kong.response.exit(429, { message = 'slow' })"), expected(429, "8", "slow"));
    assert_eq!(answered("kong.response.exit(403, 'not you')"), expected(403, "7", "not you"));
    assert_eq!(answered("kong.response.exit(429, { error = 'slow' })"), expected(429, "8", "ResourceExhausted"));
    assert_eq!(answered("kong.response.exit(418)"), expected(418, "3", "InvalidArgument"));
    assert_eq!(
        answered("kong.response.exit(400, nil, { ['grpc-status'] = 9 })"),
        expected(400, "9", "InvalidArgument")
    );
    let own = answered("kong.response.exit(200, 'frames', { ['content-type'] = 'application/grpc' })");
    assert_eq!(own, (200, "0".to_owned(), "OK".to_owned(), b"frames".to_vec()));
    let typed = answered("kong.response.exit(400, 'text', { ['content-type'] = 'text/plain' })");
    assert_eq!(typed, (400, "-".to_owned(), "-".to_owned(), b"text".to_vec()));
    assert_eq!(answered("kong.response.exit(200, {}, { ['content-type'] = 'application/grpc' })").0, 500);
}

#[test]
fn what_filters_end_does_not_go_on() {
    let filtered = |config: Value| {
        let plugin = testing::configure(&PostFunction, config, &Env::default());
        let mut exchange = testing::exchange("GET", "/", &[]);
        exchange.response.status = 200;
        plugin.header_filter(&mut exchange);
        let failed = exchange.filter_has_failed();
        let content = plugin.body_filter(&mut exchange, Bytes::from_static(b"of the service"), true);
        (exchange.response.status, failed, content, exchange.filter_has_failed())
    };
    let ended = filtered(json!({ "header_filter": ["ngx.exit(200)"] }));
    assert_eq!(ended, (200, false, Bytes::new(), false));
    // Nobody can tell from this text that it answers.
    let hidden = filtered(json!({ "header_filter": ["local r = kong['resp' .. 'onse'] r.exit(403)"] }));
    assert_eq!((hidden.0, hidden.1), (403, true));
    for code in ["ngx.exit(403)", "ngx.exit(ngx.ERROR)", "ngx.say('a')", "error('b')"] {
        assert!(filtered(json!({ "body_filter": [code] })).3, "{code}");
    }
    for code in ["ngx.exit(ngx.ERROR)", "ngx.say('a')", "ngx.redirect('/b')"] {
        assert!(filtered(json!({ "header_filter": [code] })).1, "{code}");
    }
}

#[test]
fn what_kong_notes_of_a_requests_way_is_in_ngx_ctx() {
    let mut exchange = testing::exchange("GET", "/", &[]);
    let started = exchange.timing.started_unix_ms;
    let read = |names: &str| {
        format!(
            "local t = {{}} for name in ('{names}'):gmatch('%S+') do \
        t[#t + 1] = tostring(ngx.ctx['KONG_' .. name]) end kong.response.exit(200, table.concat(t, ' '))"
        )
    };
    let said =
        |code: &str, exchange: &mut Exchange| String::from_utf8(access(code, exchange).unwrap().body.to_vec()).unwrap();
    let names = "PROCESSING_START REWRITE_TIME ACCESS_START ACCESS_TIME PROXIED BALANCER_START WAITING_TIME";
    assert_eq!(said(&read(names), &mut exchange), format!("{started} 0 {started} nil nil nil nil"));
    exchange.timing.proxy = Some(Duration::from_millis(7));
    exchange.timing.upstream = Some(Duration::from_millis(30));
    let names = "PROXIED PROXY_LATENCY WAITING_TIME ACCESS_TIME BALANCER_TIME RESPONSE_TIME RESPONSE_LATENCY";
    let code = format!(
        "local t = {{}} for name in ('{names}'):gmatch('%S+') do t[#t + 1] = tostring(ngx.ctx['KONG_' .. name]) end \
        local at = ngx.ctx kong.response.set_header('x', table.concat(t, ' ') .. ' ' .. \
        at.KONG_HEADER_FILTER_START - at.KONG_PROCESSING_START)"
    );
    let plugin = testing::configure(&PostFunction, json!({ "header_filter": [code] }), &Env::default());
    plugin.header_filter(&mut exchange);
    assert_eq!(exchange.response.fields.get_str("x"), Some("true 7 30 7 0 nil nil 37"));
}

#[test]
fn requests_are_read() {
    assert_eq!(value("kong.request.get_method()"), "POST");
    assert_eq!(value("kong.request.get_path()"), "/a/b");
    assert_eq!(value("kong.request.get_query_arg('x')"), "1");
    assert_eq!(value("kong.request.get_query_arg('y')"), "true");
    assert_eq!(value("kong.request.get_query().x[2]"), "2");
    assert_eq!(value("kong.request.get_header('x-t')"), "v");
    assert_eq!(value("kong.request.get_headers().X_T"), "v");
    assert_eq!(value("kong.request.get_host()"), "h.test");
    assert_eq!(value("ngx.var.http_x_t"), "v");
    assert_eq!(value("ngx.var.arg_x"), "1");
    assert_eq!(value("ngx.req.get_method()"), "POST");
    assert_eq!(value("kong.router.get_route()"), "nil");
    assert_eq!(value("ngx.decode_base64(ngx.encode_base64('a b'))"), "a b");
}

#[test]
fn requests_to_services_are_edited() {
    let mut exchange = testing::exchange("GET", "/", &[("X-Gone", "1")]);
    let code = r#"
        kong.service.request.set_header("x-a", 1)
        kong.service.request.clear_header("x-gone")
        kong.service.request.set_query({q = "2 3", list = {"a", "b"}, flag = true})
        kong.service.request.set_path("/p q?a=1#")
        kong.service.request.set_method("PUT")
        kong.response.set_header("x-reply", "r")
        kong.service.request.set_raw_body("body")"#;
    assert!(access(code, &mut exchange).is_none());
    assert_eq!(exchange.request.fields.get_str("x-a"), Some("1"));
    assert_eq!(exchange.request.fields.get("x-gone"), None);
    assert_eq!(exchange.upstream.query.as_deref(), Some("flag&list=a&list=b&q=2%203"));
    assert_eq!(exchange.upstream.path, "/p%20q?a=1%23");
    assert_eq!(exchange.upstream.method.as_deref(), Some("PUT"));
    assert_eq!(exchange.reply.get_str("x-reply"), Some("r"));
    assert_eq!(exchange.body.bytes().map(|body| &body[..]), Some(&b"body"[..]));
}

#[test]
fn queries_of_code_are_sent_as_they_are() {
    let mut exchange = testing::exchange("GET", "/", &[]);
    for (given, sent) in [("q=\u{e4}&a[]={}", "q=\u{e4}&a[]={}"), ("a=b c#d", "a=b%20c%23d"), (r"\xff", r"%FF")] {
        let given = given.replace(r"\xff", r"\255");
        assert!(access(&format!("kong.service.request.set_raw_query(\"{given}\")"), &mut exchange).is_none());
        assert_eq!(exchange.upstream.query.as_deref(), Some(sent));
    }
    for code in [
        r#"kong.service.request.set_raw_query("a\nb")"#,
        "kong.service.request.set_query({ a = function() end })",
        "kong.service.request.set_query({ 'x' })",
        "kong.service.request.set_query({ [true] = 'x' })",
    ] {
        assert_eq!(access(code, &mut exchange).map(|answer| answer.status), Some(500), "{code}");
    }
}

#[test]
fn what_cannot_be_written_is_not_sent() {
    let mut exchange = testing::exchange("POST", "/", &[]);
    exchange.body = "before".into();
    for args in ["{ a = 'foo', b = function() end }", "{ a = 'foo', [true] = 'x' }"] {
        for kind in ["application/json", "application/x-www-form-urlencoded"] {
            let code = format!(
                "local ok, err = kong.service.request.set_body({args}, '{kind}')
                 kong.response.exit(200, tostring(ok) .. ' ' .. type(err))"
            );
            let answer = access(&code, &mut exchange).unwrap();
            assert_eq!(&answer.body[..], b"nil string", "{code}");
        }
    }
    assert_eq!(exchange.body.bytes().map(|body| &body[..]), Some(&b"before"[..]));
}

#[test]
fn a_function_that_is_returned_is_made_once() {
    let plugin = plugin(
        json!({ "access": ["local n = 0; return function() n = n + 1; kong.response.exit(200, tostring(n)) end"] }),
    );
    for expected in [&b"1"[..], b"2"] {
        let answer = testing::access(&*plugin, &mut testing::exchange("GET", "/", &[])).unwrap();
        assert_eq!(&answer.body[..], expected);
    }
}

#[test]
fn what_code_keeps_lasts_as_long_as_the_exchange() {
    let code = "kong.ctx.shared.n = (kong.ctx.shared.n or 0) + 1; kong.ctx.plugin.n = (kong.ctx.plugin.n or 0) + 1";
    let shows = "kong.response.exit(200, kong.ctx.shared.n .. ' ' .. (kong.ctx.plugin.n or 0))";
    let (first, second) = (plugin(json!({ "access": [code, code] })), plugin(json!({ "access": [shows] })));
    let mut exchange = testing::exchange("GET", "/", &[]);
    testing::access(&*first, &mut exchange);
    assert_eq!(&testing::access(&*second, &mut exchange).unwrap().body[..], b"2 0");
    exchange.clear();
    assert_eq!(testing::access(&*second, &mut exchange).unwrap().status, 500, "there is nothing of another exchange");
}

#[test]
fn code_may_put_tables_of_its_own_into_what_is_kept() {
    let code = "kong.ctx.shared = kong.ctx.shared or {}; kong.ctx.plugin = { n = 1 }; kong.ctx.shared.m = 2; \
        kong.ctx.own = kong.ctx.plugin.n + kong.ctx.shared.m";
    let shows = "kong.response.exit(200, tostring(kong.ctx.own) .. tostring(kong.ctx.plugins))";
    let (first, second) = (plugin(json!({ "access": [code] })), plugin(json!({ "access": [shows] })));
    let mut exchange = testing::exchange("GET", "/", &[]);
    assert!(testing::access(&*first, &mut exchange).is_none());
    assert_eq!(&testing::access(&*second, &mut exchange).unwrap().body[..], b"3nil");
    exchange.clear();
    assert!(testing::access(&*second, &mut exchange).unwrap().body.starts_with(b"nilnil"));
}

#[test]
fn responses_are_edited() {
    let plugin = testing::configure(
        &PostFunction,
        json!({
            "header_filter": [
                "kong.response.set_header('x-h', '1')",
                "ngx.header['x-i'] = 2; kong.response.set_status(201)",
                "kong.response.set_header('x_j', 'a_b'); kong.response.add_header('x_j', 'c')",
            ],
            "body_filter": ["if ngx.arg[2] then ngx.arg[1] = 'end' else ngx.arg[1] = nil end"],
        }),
        &Env::default(),
    );
    let mut exchange = testing::exchange("GET", "/", &[]);
    plugin.header_filter(&mut exchange);
    assert_eq!(exchange.response.fields.get_str("x-h"), Some("1"));
    assert_eq!(exchange.response.fields.get_str("x-i"), Some("2"));
    // OpenResty has dashes there.
    let lines: Vec<_> = exchange.response.fields.get_all("x-j").collect();
    assert_eq!(lines, [b"a_b".as_slice(), b"c"]);
    assert_eq!(exchange.response.status, 201);
    assert_eq!(plugin.body_filter(&mut exchange, Bytes::from_static(b"piece"), false), Bytes::new());
    assert_eq!(plugin.body_filter(&mut exchange, Bytes::new(), true), Bytes::from_static(b"end"));
    assert!(!plugin.phases().has(Phases::ACCESS));
}

#[test]
fn content_is_edited_as_a_whole() {
    let whole = "local body = kong.response.get_raw_body() \
        if body then kong.response.set_raw_body('<' .. body .. '>') end";
    let plugin = |codes: &[&str]| plugin(json!({ "body_filter": codes }));
    let content = |codes: &[&str], pieces: &[&str]| {
        testing::respond(&*plugin(codes), &mut testing::exchange("GET", "/", &[]), 200, &[], pieces)
    };
    assert_eq!(content(&[whole], &["a", "bc"]), "<abc>");
    assert_eq!(content(&[whole, whole], &["a", "bc"]), "<<abc>>");
    assert_eq!(content(&["ngx.arg[1], ngx.arg[2] = 'end', true"], &["a", "b", "c"]), "end");
    let shout = "if ngx.arg[1] then ngx.arg[1] = ngx.arg[1]:upper() end";
    assert_eq!(content(&[shout], &["a", "bc"]), "ABC");
}

#[test]
fn functions_return_what_kongs_do() {
    assert_eq!(value("kong.service.set_upstream('none')"), "nil");
    assert_eq!(value("select(2, kong.service.set_upstream('none'))"), "could not find an Upstream named 'none'");
    assert_eq!(value("kong.service.request.set_body({ a = 1 }, 'application/json')"), "true");
    assert_eq!(value("kong.service.request.set_body({ a = 1 }, 'multipart/form-data')"), "true");
    let no_type = "content type was neither explicitly given as an argument or received as a header";
    assert_eq!(value("select(2, kong.service.request.set_body({}))"), no_type);
    assert!(value("select(2, pcall(kong.service.request.set_method, 'get'))").contains("invalid method: get"));
    assert_eq!(value("kong.request.get_header('x_t')"), "v");
    assert_eq!(value("ngx.req.get_headers(0, true)['X-T']"), "v");
    assert_eq!(value("ngx.req.get_headers(0, true)['x-t']"), "nil");
    assert_eq!(value("#ngx.var.binary_remote_addr"), "4");
    assert_eq!(value("ngx.var.time_iso8601:match('^%d+%-%d%d%-%d%dT%d%d:%d%d:%d%d[+-]%d%d:%d%d$') ~= nil"), "true");
    let exit = answer("kong.response.exit(200, '<p>', { ['Content-Type'] = 'text/html' })").unwrap();
    assert_eq!(exit.fields.get_str("Content-Type"), Some("text/html; charset=UTF-8"));
}

#[test]
fn nothing_more_is_returned() {
    assert_eq!(value("select('#', ngx.req.get_headers())"), "1");
    assert_eq!(value("select('#', kong.request.get_query())"), "1");
    assert_eq!(value("select('#', ngx.decode_args('a=1'))"), "1");
    assert_eq!(value("select(2, ngx.decode_args('a=1&b=2', 1))"), "truncated");
}

#[test]
fn an_answer_in_a_header_filter_takes_the_place_of_the_content() {
    let code = "kong.response.exit(403, { message = 'no' }, { ['X-A'] = '1' })";
    let plugin = plugin(json!({ "header_filter": [code] }));
    let mut exchange = testing::exchange("GET", "/", &[]);
    let lines = [("Content-Length", "6")];
    let content = testing::respond(&*plugin, &mut exchange, 200, &lines, &["sec", "ret"]);
    assert_eq!(content, r#"{"message":"no"}"#);
    assert_eq!(exchange.response.status, 403);
    assert_eq!(exchange.response.fields.get_str("X-A"), Some("1"));
    assert_eq!(exchange.response.fields.get("Content-Length"), None);
}

#[test]
fn the_last_piece_comes_empty() {
    let code = "if not ngx.arg[2] then ngx.arg[1] = ngx.arg[1] .. '!' end";
    let plugin = plugin(json!({ "body_filter": [code] }));
    let mut exchange = testing::exchange("GET", "/", &[]);
    assert_eq!(plugin.body_filter(&mut exchange, Bytes::from_static(b"whole"), true), Bytes::from_static(b"whole!"));
}

#[tokio::test]
async fn code_waits() {
    let codes = ["ngx.sleep(0.001) ngx.ctx.woke = true", "kong.response.exit(200, tostring(ngx.ctx.woke))"];
    let plugin = plugin(json!({ "access": codes }));
    for _ in 0..2 {
        let mut exchange = testing::exchange("GET", "/", &[]);
        let answer = testing::access_waiting(&*plugin, &mut exchange).await.unwrap();
        assert_eq!(&answer.body[..], b"true");
    }
}

#[test]
fn lists_stay_lists() {
    let body = Bytes::from_static(br#"{"l":[],"o":{}}"#);
    let mut exchange = testing::exchange("POST", "/", &[("Content-Type", "application/json")]);
    exchange.body = body.clone().into();
    assert!(access("kong.service.request.set_body(kong.request.get_body())", &mut exchange).is_none());
    assert_eq!(exchange.body.bytes(), Some(&body));
}

#[test]
fn parts_are_written() {
    let mut exchange = testing::exchange("POST", "/", &[]);
    let code = "kong.service.request.set_body({ b = '1', a = true }, 'multipart/form-data; boundary=x')";
    assert!(access(code, &mut exchange).is_none());
    let parts = [
        "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\ntrue\r\n",
        "--x\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n1\r\n--x--\r\n",
    ];
    assert_eq!(exchange.body.bytes().map(|body| String::from_utf8_lossy(body).into_owned()), Some(parts.concat()));
    assert_eq!(exchange.request.fields.get_str("Content-Type"), Some("multipart/form-data; boundary=x"));
}

#[test]
fn lines_of_the_service_are_told_from_those_of_code() {
    let shows = "kong.response.set_header('X-Own', '1') \
        ngx.header['X-Shown'] = tostring(kong.service.response.get_header('X-Own')) \
            .. kong.service.response.get_header('x_sent')";
    let plugin = plugin(json!({ "access": ["kong.response.set_header('X-Early', '1')"], "header_filter": [shows] }));
    let mut exchange = testing::exchange("GET", "/", &[]);
    testing::access(&*plugin, &mut exchange);
    testing::respond(&*plugin, &mut exchange, 200, &[("X-Sent", "s")], &[]);
    assert_eq!(exchange.response.fields.get_str("X-Shown"), Some("nils"));
}

#[test]
fn the_sandbox_hides_what_is_dangerous() {
    for name in ["os.execute", "os.getenv", "io.open", "debug", "load", "loadstring", "dofile", "jit.off", "_G.rawset"]
    {
        assert_eq!(value(name), "nil", "{name}");
    }
    for name in ["kong.ctx.native", "kong.db.keyauth_credentials", "kong.db.consumers.delete", "ngx.req.set_body_file"]
    {
        assert_eq!(value(name), "nil", "{name}");
    }
    assert_eq!(value("pcall(function() string.format = nil end)"), "false");
    assert_eq!(value("pcall(function() table.concat = nil end)"), "false");
    assert_eq!(value("pcall(function() ngx.shared.kong = nil end)"), "false");
    assert_eq!(value("pcall(function() ngx.timer.at = nil end)"), "false");
    assert_eq!(
        value("type(ngx.shared.kong.get) .. type(ngx.timer.at) .. type(table.clone)"),
        "functionfunctionfunction"
    );
    // An object of a dictionary is the code's own, and what all of them have in common is out of its reach.
    assert_eq!(value("(function() ngx.shared.kong.get = 1 return type(ngx.shared.kong.get) end)()"), "function");
    assert_eq!(value("getmetatable(ngx.shared.kong)"), "nil");
    assert_eq!(value("pcall(function() kong.request.get_method = nil end)"), "false");
    assert_eq!(value("getmetatable(kong)"), "false");
    assert_eq!(value("getmetatable('')"), "nil");
    assert_eq!(value("pcall(require, 'lfs')"), "false");
    assert_eq!(value("require('cjson').encode({ 1 })"), "[1]");
    assert_eq!(value("pcall(function() require('cjson').encode = nil end)"), "false");
    assert_eq!(value("getmetatable(require('resty.http').new())"), "nil", "it is everybody's");
    assert_eq!(value("getmetatable(setmetatable({}, { a = 1 })).a"), "1");
    let list = "require('cjson').encode(setmetatable({}, require('cjson').array_mt))";
    assert_eq!(value(list), "[]");
    answer("x = 1");
    assert_eq!(value("x"), "nil", "code has globals of its own");
    assert_eq!(value("os.time() > 0"), "true");
}

#[test]
fn code_ends_after_a_while() {
    let started = Instant::now();
    for code in ["while true do end", "while true do pcall(function() while true do end end) end"] {
        assert_eq!(answer(code).unwrap().status, 500, "{code}");
    }
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(answer("local t = {} while true do t[#t + 1] = ('x'):rep(2^20) .. #t end").unwrap().status, 500);
    assert_eq!(answer("string.rep('x', 2^40)").unwrap().status, 500);
    assert_eq!(value("1 + 1"), "2", "the machine goes on");
}

#[test]
fn errors_are_answers() {
    assert_eq!(answer("error('boom')").unwrap().status, 500);
    assert!(answer("kong.response.set_status(200)").is_none(), "it is the service that has the last word");
    assert_eq!(answer("kong.service.request.set_header('a b', 'c')").unwrap().status, 500);
    // A line feed is escaped: it ends no line.
    assert!(answer("kong.service.request.set_header('a', 'b\\r\\nc: d')").is_none());
    assert!(is_code(&json!("not lua code")).unwrap_err().starts_with("Error parsing function: "));
    assert_eq!(is_code(&json!("return 1")), Ok(()));
    let words = "error parsing pre-function: [string \"print(\"]:1: unexpected symbol near '<eof>'";
    assert_eq!(is_code_of("pre-function", &json!("print(")), Err(words.to_owned()));
    let words = is_code_of("post-function", &json!("local a = 1\nprint(")).unwrap_err();
    assert!(words.starts_with("error parsing post-function: [string \"local a = 1...\"]:2:"), "{words}");
}
