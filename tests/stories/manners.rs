//! How the API behaves whatever the route: envelopes, limits, headers, origins, repeats.

use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_cloud::db::Measured;
use easyisp_tests::operator::http_client;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cloud::{given_cloud, given_cloud_with};

#[tokio::test]
async fn what_the_framework_refuses_comes_in_the_envelope() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let nowhere = owner.get("/api/nowhere").await?;
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
    assert_eq!(nowhere.code(), "NOT_FOUND");

    let method = owner
        .send(owner.request(Method::DELETE, "/api/tenant/me"))
        .await?;
    assert_eq!(method.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(method.code(), "METHOD_NOT_ALLOWED");
    assert!(method.headers["allow"].to_str()?.contains("GET"));

    let text = owner.request(Method::POST, "/api/sites").body("name=x");
    let text = owner
        .send(text.header("content-type", "text/plain"))
        .await?;
    assert_eq!(text.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(text.code(), "UNSUPPORTED_MEDIA_TYPE");

    let id = owner.get("/api/sites/5").await?;
    assert_eq!(id.status, StatusCode::BAD_REQUEST);
    assert_eq!(id.body["details"][0]["field"], "site");
    let page = owner.get("/api/sites?page=first").await?;
    assert_eq!(page.body["details"][0]["field"], "page");
    Ok(())
}

/// H7: large, deep and endless requests cost little and are told why.
#[tokio::test]
async fn bodies_depth_pages_and_slow_heads_are_bounded() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let large = json!({"name": "x".repeat(300 * 1024)});
    let large = owner.post("/api/sites", &large).await?;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(large.code(), "TOO_LARGE");

    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep = owner.request(Method::POST, "/api/sites").body(deep);
    let deep = owner
        .send(deep.header("content-type", "application/json"))
        .await?;
    assert_eq!(deep.code(), "TOO_DEEP");

    let page = owner.get("/api/sites?page=1&pageSize=1000000000").await?;
    assert_eq!(page.body["pageSize"], 200);

    let beginnings: [&[u8]; 4] = [
        b"",
        b"P",
        b"PRI * HTTP/2.0\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    ];
    futures_util::future::try_join_all(beginnings.map(async |beginning| {
        let mut slow = TcpStream::connect(ours.cloud.http_addr).await?;
        slow.write_all(beginning).await?;
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(20), slow.read_to_end(&mut rest));
        let said = String::from_utf8_lossy(beginning);
        assert!(closed.await.is_ok(), "{said:?} and nothing more is cut off");
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_user_who_asks_too_much_is_told_when_to_come_back() -> Result<()> {
    let ours = given_cloud_with(|config| {
        config.limits.user_per_second = NonZeroU32::new(1).unwrap();
        config.limits.user_burst = NonZeroU32::new(3).unwrap();
    })
    .await?;
    let owner = ours.given_owner("acme").await?;
    let mut refused = None;
    for _ in 0..10 {
        let answer = owner.get("/api/tenant/me").await?;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("more than the burst was refused");
    assert_eq!(refused.code(), "TOO_MANY_REQUESTS");
    assert!(refused.headers.contains_key("retry-after"));
    Ok(())
}

/// H3: operators' pages call from listed origins only, captive portals from anywhere, nobody with cookies.
#[tokio::test]
async fn origins_are_a_list_except_for_the_portal() -> Result<()> {
    let ours = given_cloud_with(|config| {
        config.http.allowed_origins = vec!["https://app.example.com".to_owned()];
    })
    .await?;
    let client = ours.anonymous();
    let allowed = async |origin: &str, path: &str| -> Result<Option<String>> {
        let preflight = client
            .request(Method::OPTIONS, path)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,idempotency-key,if-match",
            );
        let answer = client.send(preflight).await?;
        assert!(
            !answer
                .headers
                .contains_key("access-control-allow-credentials")
        );
        let value = answer.headers.get("access-control-allow-origin");
        Ok(value.and_then(|value| Some(value.to_str().ok()?.to_owned())))
    };
    let ours_origin = allowed("https://app.example.com", "/api/auth/login").await?;
    assert_eq!(ours_origin.as_deref(), Some("https://app.example.com"));
    assert_eq!(
        allowed("https://evil.example", "/api/auth/login").await?,
        None
    );
    let router = allowed("http://10.5.50.1", "/api/portal/packages").await?;
    assert_eq!(router.as_deref(), Some("http://10.5.50.1"));
    Ok(())
}

#[tokio::test]
async fn every_answer_carries_the_protecting_headers() -> Result<()> {
    let ours = given_cloud().await?;
    for path in ["/", "/health", "/api/nowhere", "/api/openapi.json"] {
        let answer = ours.anonymous().get(path).await?;
        let header = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "same-origin");
        assert!(header("strict-transport-security").contains("31536000"));
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"));
        if path.starts_with("/api/") {
            assert_eq!(header("cache-control"), "no-store");
        }
    }
    Ok(())
}

/// H1: a repeated request has one effect and one answer; the same key with another request is a mistake.
#[tokio::test]
async fn a_key_makes_a_request_repeatable() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let create = async |key: &str, name: &str| {
        let request = owner
            .request(Method::POST, "/api/sites")
            .header("idempotency-key", key)
            .json(&json!({"name": name}));
        owner.send(request).await
    };
    let first = create("one", "Thika").await?;
    assert_eq!(first.status, StatusCode::CREATED, "{:?}", first.body);
    let again = create("one", "Thika").await?;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    let other = create("one", "Ruiru").await?;
    assert_eq!(other.code(), "IDEMPOTENCY_KEY_REUSED");

    let race = futures_util::future::try_join_all((0..8).map(|_| create("two", "Juja"))).await?;
    let mut made: Vec<&Value> = Vec::new();
    for answer in &race {
        match answer.status {
            StatusCode::CREATED => made.push(&answer.body["id"]),
            StatusCode::CONFLICT => assert_eq!(answer.code(), "REQUEST_IN_FLIGHT"),
            other => panic!("{other}: {:?}", answer.body),
        }
    }
    assert!(made.windows(2).all(|pair| pair[0] == pair[1]), "{made:?}");
    assert_eq!(owner.get("/api/sites").await?.body["total"], 3);
    Ok(())
}

#[tokio::test]
async fn health_and_metrics_tell_how_it_is() -> Result<()> {
    let ours = given_cloud().await?;
    let client = ours.anonymous();
    assert_eq!(client.get("/health").await?.body["status"], "ok");
    assert_eq!(client.get("/health/live").await?.body["status"], "alive");
    let ready = client.get("/health/ready").await?;
    assert_eq!(ready.body["checks"]["database"], "connected");
    assert_eq!(ready.body["checks"]["clock"], "right");
    let asked = ours.clock.now();
    for _ in 0..3 {
        ours.cloud.app.db.drift().note(Measured {
            asked,
            server: asked.minus(Duration::from_secs(2)),
            round_trip: Duration::ZERO,
        });
    }
    assert_eq!(client.get("/health").await?.body["status"], "clock off");
    let ready = client.get("/health/ready").await?;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.body["checks"]["clock"], "off");

    let metrics = format!("http://{}/metrics", ours.cloud.metrics_addr);
    let text = http_client().get(metrics).send().await?.text().await?;
    assert!(text.contains("easyisp_http_requests_total{"), "{text}");
    assert!(text.contains("easyisp_database_connections{"), "{text}");
    for certificate in ["authority", "link"] {
        let ends =
            format!("easyisp_certificate_ends_timestamp_seconds{{certificate=\"{certificate}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&ends));
        let seconds: Option<i64> = line.and_then(|seconds| seconds.parse().ok());
        // Long after this was written.
        assert!(
            seconds.is_some_and(|seconds| seconds > 1_767_225_600),
            "{text}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_stopped_cloud_has_answered_what_it_took() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let under_way: Vec<_> = (0..20)
        .map(|n| {
            let owner = owner.clone();
            tokio::spawn(async move {
                owner
                    .post("/api/sites", &json!({"name": format!("site {n}")}))
                    .await
            })
        })
        .collect();
    // The first answer tells that they have arrived.
    let mut answers = under_way.into_iter();
    answers.next().expect("twenty").await??;
    ours.cloud.stop().await?;
    for answer in answers {
        if let Ok(answer) = answer.await? {
            assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.body);
        }
    }
    Ok(())
}

/// Whoever changes what somebody else has changed since he read it is told, and undoes nothing.
#[tokio::test]
async fn two_who_edit_one_thing_do_not_undo_one_another() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let package = json!({"name": "Home", "type": "PPPOE", "price": 1000, "downloadSpeed": 10,
        "uploadSpeed": 5});
    let router = json!({"name": "Mast", "ipAddress": "10.0.0.1", "secret": "mast-secret"});
    let subscriber = json!({"username": "imani", "password": "imani", "name": "Imani",
        "connectionType": "PPPOE"});
    for (path, body) in [
        ("/api/packages", package),
        ("/api/nas", router),
        ("/api/customers", subscriber),
    ] {
        let made = owner.post(path, &body).await?;
        let path = format!("{path}/{}", made.body["id"].as_str().context("an id")?);
        let read = owner.get(&path).await?;
        let version = read.headers["etag"].clone();
        let rename = |name: &str, seen: &reqwest::header::HeaderValue| {
            owner
                .request(Method::PUT, &path)
                .header("If-Match", seen)
                .json(&json!({"name": name}))
        };
        let first = owner.send(rename("First", &version)).await?;
        assert_eq!(first.status, StatusCode::OK, "{path}: {:?}", first.body);
        assert_ne!(first.headers["etag"], version);
        let second = owner.send(rename("Second", &version)).await?;
        assert_eq!(second.status, StatusCode::PRECONDITION_FAILED, "{path}");
        let any = owner.put(&path, &json!({"name": "Third"})).await?;
        assert_eq!(any.body["name"], "Third");
    }
    Ok(())
}
