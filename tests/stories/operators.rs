//! A provider's people: entered, given rights, stripped of them, shown out.

use anyhow::{Context, Result};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cloud::{Answer, Client, Ours, PASSWORD, given_cloud};
use crate::words::{DAY, MINUTE};

const OPERATORS: &str = "/api/tenant/operators";

#[tokio::test]
async fn an_owner_enters_his_people_and_finds_them() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    ours.clock.advance(MINUTE);
    let made = enter(&owner, "amina", "CUSTOMER_CARE").await?;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    assert_eq!(made.body["status"], "ACTIVE");
    assert_eq!(made.body["phone"], Value::Null);
    assert_eq!(made.body["addedPermissions"], json!([]));
    assert_eq!(made.body["removedPermissions"], json!([]));
    assert!(made.body["createdAt"].is_string());

    let list = owner.get(OPERATORS).await?.body;
    assert_eq!(list["total"], 2);
    assert_eq!(list["operators"][0]["role"], "SUPER_ADMIN");
    assert_eq!(list["operators"][1], made.body);
    let page = format!("{OPERATORS}?page=2&pageSize=1");
    let page = owner.get(&page).await?.body;
    assert_eq!(page["operators"].as_array().map(Vec::len), Some(1));
    assert_eq!(page["operators"][0]["name"], "amina");
    let found = owner.get(&format!("{OPERATORS}?search=AMI")).await?.body;
    assert_eq!(found["total"], 1);

    let amina = sign_in(&ours, "amina", PASSWORD).await?;
    assert_eq!(amina.get("/api/customers").await?.status, StatusCode::OK);
    let refused = amina.get(OPERATORS).await?;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.code(), "PERMISSION_MISSING");
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_an_operator_is_told_by_field() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    for (field, value) in [
        ("name", json!("x")),
        ("email", json!("nowhere")),
        ("role", json!("SUPER_ADMIN")),
        ("role", json!("KING")),
        ("role", json!("")),
        ("password", json!("short")),
        ("addedPermissions", json!(["no:such"])),
    ] {
        let mut body = person("amina", "STAFF");
        body[field] = value;
        let answer = owner.post(OPERATORS, &body).await?;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{field}");
        assert_eq!(answer.body["details"][0]["field"], field);
    }
    enter(&owner, "amina", "STAFF").await?;
    let taken = enter(&owner, "amina", "STAFF").await?;
    assert_eq!(taken.status, StatusCode::CONFLICT);
    assert_eq!(taken.code(), "EMAIL_TAKEN");
    Ok(())
}

#[tokio::test]
async fn a_change_counts_at_once_and_who_loses_something_is_signed_out() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let path = path_of(&enter(&owner, "amina", "CUSTOMER_CARE").await?)?;
    let amina = sign_in(&ours, "amina", PASSWORD).await?;
    assert_eq!(amina.get("/api/nas").await?.status, StatusCode::FORBIDDEN);

    // More: in the same session.
    let more = json!({"name": "Amina", "addedPermissions": ["routers:view"]});
    let changed = owner.put(&path, &more).await?;
    assert_eq!(changed.status, StatusCode::OK, "{:?}", changed.body);
    assert_eq!(changed.body["addedPermissions"], json!(["routers:view"]));
    assert_eq!(changed.body["email"], "amina@acme.isp");
    assert_eq!(amina.get("/api/nas").await?.status, StatusCode::OK);

    // Less: out, and in again with less.
    let less = json!({"removedPermissions": ["routers:view"], "phone": ""});
    owner.put(&path, &less).await?;
    let out = amina.get("/api/auth/me").await?;
    assert_eq!(out.status, StatusCode::UNAUTHORIZED);
    let amina = sign_in(&ours, "amina", PASSWORD).await?;
    assert_eq!(amina.get("/api/nas").await?.status, StatusCode::FORBIDDEN);

    // Nothing: out, and not in again.
    owner.put(&path, &json!({"status": "SUSPENDED"})).await?;
    let out = amina.get("/api/auth/me").await?;
    assert_eq!(out.status, StatusCode::UNAUTHORIZED);
    let refused = try_sign_in(&ours, "amina", PASSWORD).await?;
    assert_eq!(refused.code(), "OPERATOR_DISABLED");
    Ok(())
}

#[tokio::test]
async fn nobody_raises_himself_or_hands_out_what_he_lacks() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let owner_path = format!(
        "{OPERATORS}/{}",
        id(&owner.get("/api/auth/me").await?.body)?
    );
    let admin_path = path_of(&enter(&owner, "admin", "ADMIN").await?)?;
    let staff_path = path_of(&enter(&owner, "staff", "STAFF").await?)?;
    let admin = sign_in(&ours, "admin", PASSWORD).await?;

    for (path, body, code) in [
        (&admin_path, json!({"role": "SUPER_ADMIN"}), "OWN_RIGHTS"),
        (
            &admin_path,
            json!({"addedPermissions": ["settings:licence"]}),
            "OWN_RIGHTS",
        ),
        (&staff_path, json!({"role": "SUPER_ADMIN"}), "ABOVE_YOU"),
        (
            &staff_path,
            json!({"addedPermissions": ["settings:payment_gateway"]}),
            "BEYOND_YOURS",
        ),
        (&owner_path, json!({"name": "Nobody"}), "ABOVE_YOU"),
        (&owner_path, json!({"status": "DISABLED"}), "ABOVE_YOU"),
    ] {
        let refused = admin.put(path, &body).await?;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{body}");
        assert_eq!(refused.code(), code, "{body}");
    }
    for path in [&owner_path, &format!("{owner_path}/reset-password")] {
        let method = match path.ends_with("password") {
            true => Method::POST,
            false => Method::DELETE,
        };
        let refused = admin.send(admin.request(method, path)).await?;
        assert_eq!(refused.code(), "ABOVE_YOU");
    }

    // The form sends everything back: his own rights as they are may stand in it.
    let mut own = admin.get(&admin_path).await?.body;
    own["name"] = json!("The admin");
    let renamed = admin.put(&admin_path, &own).await?;
    assert_eq!(renamed.body["name"], "The admin", "{:?}", renamed.body);
    let raised = admin.put(&staff_path, &json!({"role": "ADMIN"})).await?;
    assert_eq!(raised.body["role"], "ADMIN");

    // Rights are handed out by who may hand out rights.
    let editor = json!({"role": "STAFF",
        "addedPermissions": ["operators:edit", "operators:details_view"]});
    owner.put(&staff_path, &editor).await?;
    let staff = sign_in(&ours, "staff", PASSWORD).await?;
    let third = path_of(&enter(&owner, "third", "VIEWER").await?)?;
    let refused = staff.put(&third, &json!({"role": "STAFF"})).await?;
    assert_eq!(refused.code(), "PERMISSION_MISSING");
    // Who sets a password may sign in with it, and would be more than he is.
    let reset = format!("{third}/reset-password");
    let refused = staff.post(&reset, &json!({})).await?;
    assert_eq!(refused.code(), "BEYOND_YOURS");
    let renamed = staff.put(&third, &json!({"name": "Third"})).await?;
    assert_eq!(renamed.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn the_last_owner_stays_and_ownership_can_be_handed_over() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let owner_path = format!(
        "{OPERATORS}/{}",
        id(&owner.get("/api/auth/me").await?.body)?
    );
    let refused = delete(&owner, &owner_path).await?;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(refused.code(), "YOURSELF");
    let refused = owner.put(&owner_path, &json!({"role": "ADMIN"})).await?;
    assert_eq!(refused.code(), "OWN_RIGHTS");

    let heir_path = path_of(&enter(&owner, "heir", "ADMIN").await?)?;
    let made = owner
        .put(&heir_path, &json!({"role": "SUPER_ADMIN"}))
        .await?;
    assert_eq!(made.status, StatusCode::OK, "{:?}", made.body);
    let heir = sign_in(&ours, "heir", PASSWORD).await?;

    // Both at once would leave nobody.
    let lowered = json!({"role": "ADMIN"});
    let (one, other) = tokio::join!(
        owner.put(&heir_path, &lowered),
        heir.put(&owner_path, &lowered)
    );
    let codes = [one?.status, other?.status];
    let done = codes.iter().filter(|status| status.is_success()).count();
    assert_eq!(done, 1, "{codes:?}");
    let left = [&owner, &heir];
    let mut owners = 0;
    for client in left {
        let me = client.get("/api/auth/me").await?;
        owners += usize::from(me.body["role"] == "SUPER_ADMIN");
    }
    assert_eq!(owners, 1);
    Ok(())
}

#[tokio::test]
async fn who_is_deleted_is_out_at_once_and_his_address_is_free() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let path = path_of(&enter(&owner, "amina", "ADMIN").await?)?;
    let amina = sign_in(&ours, "amina", PASSWORD).await?;
    let gone = delete(&owner, &path).await?;
    assert_eq!(gone.body["success"], true);

    let out = amina.get("/api/auth/me").await?;
    assert_eq!(out.status, StatusCode::UNAUTHORIZED);
    let refused = try_sign_in(&ours, "amina", PASSWORD).await?;
    assert_eq!(refused.code(), "BAD_CREDENTIALS");
    for answer in [owner.get(&path).await?, delete(&owner, &path).await?] {
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(owner.get(OPERATORS).await?.body["total"], 1);
    let again = enter(&owner, "amina", "VIEWER").await?;
    assert_eq!(again.status, StatusCode::CREATED);
    sign_in(&ours, "amina", PASSWORD).await?;
    Ok(())
}

#[tokio::test]
async fn an_address_can_be_changed_and_is_then_the_login() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let path = path_of(&enter(&owner, "amina", "STAFF").await?)?;
    let taken = owner
        .put(&path, &json!({"email": "Owner@acme.isp"}))
        .await?;
    assert_eq!(taken.code(), "EMAIL_TAKEN");
    let moved = owner
        .put(&path, &json!({"email": "Wanjiru@acme.isp"}))
        .await?;
    assert_eq!(moved.body["email"], "wanjiru@acme.isp");
    sign_in(&ours, "wanjiru", PASSWORD).await?;
    let old = try_sign_in(&ours, "amina", PASSWORD).await?;
    assert_eq!(old.code(), "BAD_CREDENTIALS");
    Ok(())
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_by_one_that_ends() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let path = path_of(&enter(&owner, "amina", "STAFF").await?)?;
    let amina = sign_in(&ours, "amina", PASSWORD).await?;
    let reset = owner
        .post(&format!("{path}/reset-password"), &json!({}))
        .await?;
    assert_eq!(reset.status, StatusCode::OK, "{:?}", reset.body);
    assert!(reset.body["message"].is_string());
    let temporary = reset.body["temporaryPassword"]
        .as_str()
        .context("a password")?;

    let out = amina.get("/api/auth/me").await?;
    assert_eq!(out.status, StatusCode::UNAUTHORIZED);
    let old = try_sign_in(&ours, "amina", PASSWORD).await?;
    assert_eq!(old.code(), "BAD_CREDENTIALS");
    let amina = sign_in(&ours, "amina", temporary).await?;

    ours.clock.advance(2 * DAY);
    let own = json!({"oldPassword": temporary, "newPassword": "four-green-bottles"});
    let changed = amina.put("/api/auth/password", &own).await?;
    assert_eq!(changed.status, StatusCode::OK, "{:?}", changed.body);
    ours.clock.advance(MINUTE);
    sign_in(&ours, "amina", "four-green-bottles").await?;

    let reset = owner
        .post(&format!("{path}/reset-password"), &json!({}))
        .await?;
    let temporary = reset.body["temporaryPassword"]
        .as_str()
        .context("a password")?;
    let amina = sign_in(&ours, "amina", temporary).await?;
    ours.clock.advance(3 * DAY);
    let late = try_sign_in(&ours, "amina", temporary).await?;
    assert_eq!(late.status, StatusCode::FORBIDDEN);
    assert_eq!(late.code(), "PASSWORD_EXPIRED");
    let out = amina.get("/api/auth/me").await?;
    assert_eq!(out.status, StatusCode::UNAUTHORIZED, "nor stays by it");

    let own_path = format!(
        "{OPERATORS}/{}/reset-password",
        id(&owner.get("/api/auth/me").await?.body)?
    );
    let refused = owner.post(&own_path, &json!({})).await?;
    assert_eq!(refused.code(), "YOURSELF");
    Ok(())
}

/// What an operator may is read before the body of his request has come: who is shown out in between ends
/// nothing that he began.
#[tokio::test]
async fn who_was_shown_out_ends_no_request_that_he_began() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let third = path_of(&enter(&owner, "third", "VIEWER").await?)?;
    let renamed = json!({"name": "Renamed"});
    for (number, (method, path, body)) in [
        ("POST", OPERATORS, person("backdoor", "ADMIN")),
        ("PUT", &third, renamed),
    ]
    .into_iter()
    .enumerate()
    {
        for (means, expected) in [
            (None, "401"),
            (Some(json!({"status": "DISABLED"})), "401"),
            (Some(json!({"role": "STAFF"})), "403"),
        ] {
            let name = format!("admin{number}-{}", rand::random::<u32>());
            let admin_path = path_of(&enter(&owner, &name, "ADMIN").await?)?;
            let admin = sign_in(&ours, &name, PASSWORD).await?;
            let begun = begin(&ours, &admin, method, path, &body).await?;
            let shown_out = match &means {
                None => delete(&owner, &admin_path).await?,
                Some(change) => owner.put(&admin_path, change).await?,
            };
            assert_eq!(shown_out.status, StatusCode::OK, "{:?}", shown_out.body);
            let answer = begun.end().await?;
            let status = answer.split(' ').nth(1);
            assert_eq!(status, Some(expected), "{method} {means:?}: {answer}");
        }
    }
    let found = owner.get(&format!("{OPERATORS}?search=backdoor")).await?;
    assert_eq!(found.body["total"], 0);
    assert_eq!(owner.get(&third).await?.body["name"], "third");

    // The same, of one who stays.
    enter(&owner, "stays", "ADMIN").await?;
    let stays = sign_in(&ours, "stays", PASSWORD).await?;
    let begun = begin(&ours, &stays, "PUT", &third, &json!({"name": "Renamed"})).await?;
    let answer = begun.end().await?;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(())
}

/// A request that was admitted, and whose last byte is still to come.
struct Begun {
    stream: TcpStream,
    last: u8,
}

async fn begin(
    ours: &Ours,
    client: &Client,
    method: &str,
    path: &str,
    body: &Value,
) -> Result<Begun> {
    let body = serde_json::to_vec(body)?;
    let (last, body) = body.split_last().context("a body")?;
    let mut stream = TcpStream::connect(ours.cloud.http_addr).await?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\nConnection: close\r\n\r\n",
        client.token(),
        body.len() + 1
    );
    stream.write_all(head.as_bytes()).await?;
    // The body is asked for by the handler, after the caller was let through to it.
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await?;
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body).await?;
    Ok(Begun {
        stream,
        last: *last,
    })
}

impl Begun {
    async fn end(mut self) -> Result<String> {
        self.stream.write_all(&[self.last]).await?;
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

/// H11: the second of two who edit one person is told.
#[tokio::test]
async fn the_second_of_two_who_edit_one_person_is_told() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let path = path_of(&enter(&owner, "amina", "STAFF").await?)?;
    let read = owner.get(&path).await?;
    let version = read.headers["etag"].to_str()?.to_owned();
    let save = |name: &str| {
        let request = owner.request(Method::PUT, &path);
        let request = request.header("If-Match", &version);
        owner.send(request.json(&json!({"name": name})))
    };
    let first = save("Amina W").await?;
    assert_eq!(first.status, StatusCode::OK);
    let second = save("Amina K").await?;
    assert_eq!(second.status, StatusCode::PRECONDITION_FAILED);
    let now = owner.get(&path).await?;
    assert_eq!(now.body["name"], "Amina W");
    assert_eq!(now.headers["etag"], first.headers["etag"]);
    Ok(())
}

/// A request that is sent again makes nobody twice, and shows the same password.
#[tokio::test]
async fn a_repeated_request_has_one_effect() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let send = async |path: &str, key: &str, body: &Value| {
        let request = owner.request(Method::POST, path);
        owner
            .send(request.header("Idempotency-Key", key).json(body))
            .await
    };
    let body = person("amina", "STAFF");
    let first = send(OPERATORS, "one", &body).await?;
    let again = send(OPERATORS, "one", &body).await?;
    assert_eq!(again.status, StatusCode::CREATED);
    assert_eq!(first.body, again.body);
    let reset = format!("{}/reset-password", path_of(&first)?);
    let first = send(&reset, "two", &json!({})).await?;
    let again = send(&reset, "two", &json!({})).await?;
    assert_eq!(first.body, again.body);
    let password = again.body["temporaryPassword"]
        .as_str()
        .context("a password")?;
    sign_in(&ours, "amina", password).await?;
    Ok(())
}

pub fn person(name: &str, role: &str) -> Value {
    json!({"name": name, "email": format!("{name}@acme.isp"), "password": PASSWORD, "role": role})
}

pub async fn enter(owner: &Client, name: &str, role: &str) -> Result<Answer> {
    owner.post(OPERATORS, &person(name, role)).await
}

pub fn path_of(made: &Answer) -> Result<String> {
    Ok(format!("{OPERATORS}/{}", id(&made.body)?))
}

pub fn id(thing: &Value) -> Result<&str> {
    thing["id"].as_str().context("an id")
}

pub async fn delete(client: &Client, path: &str) -> Result<Answer> {
    client.send(client.request(Method::DELETE, path)).await
}

pub async fn try_sign_in(ours: &Ours, name: &str, password: &str) -> Result<Answer> {
    let body = json!({"email": format!("{name}@acme.isp"), "password": password});
    ours.anonymous().post("/api/auth/login", &body).await
}

pub async fn sign_in(ours: &Ours, name: &str, password: &str) -> Result<Client> {
    let answer = try_sign_in(ours, name, password).await?;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    let token = answer.body["token"].as_str().context("a token")?;
    Ok(ours.anonymous().with(token))
}
