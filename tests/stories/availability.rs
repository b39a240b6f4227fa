//! A package is sold at some routers: nobody elsewhere is given it, and who has it keeps it.

use anyhow::{Context, Result};
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{Provider, World};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::imports::{counts, report};

/// Two sites with a router each.
struct Places {
    isp: Provider,
    main: String,
    hill: String,
    tower: String,
    mast: String,
}

fn id(value: &Value) -> Result<String> {
    Ok(value["id"].as_str().context("an id")?.to_owned())
}

async fn given(world: &World) -> Result<Places> {
    let isp = Provider::sign_up(world, "places").await?;
    let main = id(&isp.owner.get("/sites").await?["sites"][0])?;
    let hill = id(&isp.owner.post("/sites", &json!({"name": "Hill"})).await?)?;
    let router = async |name: &str, ip: &str, site: &str| -> Result<String> {
        let router = json!({"name": name, "ipAddress": ip, "siteId": site});
        id(&isp.owner.post("/nas", &router).await?)
    };
    Ok(Places {
        tower: router("Tower", "10.0.0.1", &main).await?,
        mast: router("Mast", "10.0.0.2", &hill).await?,
        isp,
        main,
        hill,
    })
}

async fn package(owner: &Operator, name: &str, kind: &str, router: &str) -> Result<String> {
    let package = json!({"name": name, "type": kind, "price": 1000, "downloadSpeed": 10,
        "uploadSpeed": 10, "period": {"count": 1, "unit": "DAYS"}, "routerIds": [router]});
    id(&owner.post("/packages", &package).await?)
}

/// Refused, and the answer names the package's field and what to do.
async fn not_sold(who: &Operator, method: Method, path: &str, body: &Value) -> Result<()> {
    let (status, answer) = who.call(method, path, Some(body)).await?;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {answer}");
    assert_eq!(
        answer["details"][0]["field"], "packageId",
        "{path}: {answer}"
    );
    let message = answer["details"][0]["message"].to_string();
    assert!(
        message.contains("not sold") && message.contains("routerIds"),
        "{message}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_is_given_only_where_it_is_sold() -> Result<()> {
    let world = World::start().await?;
    let places = given(&world).await?;
    let owner = &places.isp.owner;
    let theirs = package(owner, "Towers", "PPPOE", &places.tower).await?;
    let person = |name: &str, place: Value| {
        let mut person = json!({"username": name, "password": "word-word", "name": name,
            "connectionType": "PPPOE", "packageId": theirs});
        for (key, value) in place.as_object().into_iter().flatten() {
            person[key] = value.clone();
        }
        person
    };
    for place in [
        json!({"nasId": places.mast}),
        json!({"siteId": places.hill}),
    ] {
        not_sold(owner, Method::POST, "/customers", &person("nobody", place)).await?;
    }
    let here = [
        json!({"nasId": places.tower}),
        json!({"siteId": places.main}),
        json!({}),
    ];
    for (place, name) in here.into_iter().zip(["asha", "baraka", "chege"]) {
        owner.post("/customers", &person(name, place)).await?;
    }

    // Who has it keeps it, wherever he moves; who is elsewhere is not put on it.
    let asha = crate::imports::find(owner, "asha").await?;
    let asha = format!("/customers/{}", id(&asha)?);
    let moved = owner.put(&asha, &json!({"nasId": places.mast})).await?;
    assert_eq!(moved["packageId"], theirs.as_str());
    let kept = owner.put(&asha, &json!({"name": "Asha Njeri"})).await?;
    assert_eq!(kept["packageId"], theirs.as_str());
    owner
        .put(
            &format!("{asha}/package"),
            &json!({"packageId": places.isp.package}),
        )
        .await?;
    let back = json!({"packageId": theirs});
    not_sold(owner, Method::PUT, &asha, &back).await?;
    not_sold(owner, Method::PUT, &format!("{asha}/package"), &back).await?;
    owner
        .put(&asha, &json!({"packageId": theirs, "nasId": places.tower}))
        .await?;

    // A file follows the same rule, row by row.
    let file = "username,password,name,type,package,router,site\n\
                dida,dida-word,Dida,PPPOE,Towers,Mast,\n\
                ewan,ewan-word,Ewan,PPPOE,Towers,Tower,\n\
                fadhili,fadhili-word,Fadhili,PPPOE,Towers,,Hill\n";
    let made = report(&world, owner, "", file).await?;
    assert_eq!(counts(&made), [1, 0, 0, 2], "{made}");
    assert_eq!(made["rows"][0]["errors"][0]["field"], "packageId", "{made}");
    let update = "username,package\nasha,Towers\n";
    let same = report(&world, owner, "onExisting=update", update).await?;
    assert_eq!(counts(&same)[3], 0, "{same}");

    // What is shown for a router is what is sold there.
    let names = async |router: &str| -> Result<String> {
        Ok(owner
            .get(&format!("/packages?routerId={router}"))
            .await?
            .to_string())
    };
    assert!(names(&places.tower).await?.contains("Towers"));
    let there = names(&places.mast).await?;
    assert!(
        !there.contains("Towers") && there.contains("Home 10"),
        "{there}"
    );
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_is_made_and_used_where_its_package_is_sold() -> Result<()> {
    let world = World::start().await?;
    let places = given(&world).await?;
    let owner = &places.isp.owner;
    let theirs = package(owner, "Hill day", "HOTSPOT", &places.mast).await?;
    let batch = |site: Value| json!({"packageId": theirs, "count": 1, "siteId": site});
    not_sold(owner, Method::POST, "/vouchers", &batch(json!(places.main))).await?;
    owner.post("/vouchers", &batch(json!(places.hill))).await?;

    // One of no site is used where it is shown: here, that is the first site.
    let made = owner.post("/vouchers", &batch(json!(null))).await?;
    let code = made["vouchers"][0]["code"].as_str().context("a code")?;
    let shown = json!({"code": code});
    let (status, answer) = owner
        .call(Method::POST, "/vouchers/redeem", Some(&shown))
        .await?;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert!(answer.to_string().contains("routerIds"), "{answer}");
    let path = format!("/packages/{theirs}");
    owner
        .put(&path, &json!({"routerIds": [places.mast, places.tower]}))
        .await?;
    owner.post("/vouchers/redeem", &shown).await?;
    world.stop().await
}
