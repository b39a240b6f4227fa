//! Interfaces for radio, of the older driver and of the newer one: backup, step by step, read back; and no password in
//! what is told.

use anyhow::{Result, ensure};
use easyisp_tests::router::Mishap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::breaks::different;
use super::roof::{Roof, both, plain};

const PASSWORD: &str = "nobody tells this word";

#[tokio::test(flavor = "multi_thread")]
async fn a_radio_is_set_up_and_read_back_and_its_password_told_to_nobody() -> Result<()> {
    let roof = Roof::open("radio").await?;
    let owner = &roof.isp.owner;
    let id = roof.bring_up("Tower").await?;
    let done = owner
        .post(&format!("/wizard/{id}/configure"), &both())
        .await?;
    assert_eq!(done["success"], true, "{done}");
    let (list, configure) = (
        format!("/wizard/{id}/wireless"),
        format!("/wizard/{id}/configure-wireless"),
    );
    let told = owner.get(&list).await?;
    let one = &told["interfaces"][0];
    assert_eq!(
        (&one["name"], &one["driver"], &one["ssid"], &one["disabled"]),
        (
            &json!("wlan1"),
            &json!("wireless"),
            &json!("MikroTik"),
            &json!(true)
        ),
        "{told}"
    );

    for (body, field) in [
        (json!({"ssid": ""}), "ssid"),
        (json!({"ssid": "Mzee", "password": "short"}), "password"),
        (json!({"ssid": "Mzee", "interface": "wlan9"}), "interface"),
    ] {
        let (status, said) = owner.call(Method::POST, &configure, Some(&body)).await?;
        assert_eq!(
            (status, &said["details"][0]["field"]),
            (StatusCode::BAD_REQUEST, &json!(field)),
            "{said}"
        );
    }

    // A step that is refused is undone, and says nothing of what the router serves.
    let before = plain(&roof.router);
    let wish = json!({"ssid": "Mzee's \"café\" $1", "password": PASSWORD, "country": "kenya"});
    let refused = Mishap::Refuse("failure: no more".to_owned());
    roof.router.mishap("/interface/wireless/set", refused);
    let failed = owner.post(&configure, &wish).await?;
    assert_eq!(failed["success"], false, "{failed}");
    assert_eq!(plain(&roof.router), before);
    roof.router.mend();
    let router = owner.get(&format!("/nas/{id}")).await?;
    assert_eq!(router["provisioningStatus"], "Provisioned", "{router}");

    let done = owner.post(&configure, &wish).await?;
    assert_eq!(done["success"], true, "{done}");
    ensure!(
        done["results"].to_string().contains("Saved a backup"),
        "{done}"
    );
    let machine = roof.router.machine();
    let radio = machine
        .rows("/interface wireless", "name", "wlan1")
        .remove(0);
    assert_eq!(
        (
            radio["ssid"].as_str(),
            radio["mode"].as_str(),
            radio["country"].as_str()
        ),
        ("Mzee's \"café\" $1", "ap-bridge", "kenya")
    );
    let profiles = "/interface wireless security-profiles";
    let profile = machine
        .rows(profiles, "name", &radio["security-profile"])
        .remove(0);
    assert_eq!(profile["wpa2-pre-shared-key"], PASSWORD);
    assert_eq!(
        machine.rows(profiles, "name", "default").len(),
        1,
        "somebody else's stays"
    );
    let told = owner.get(&list).await?;
    assert_eq!(told["interfaces"][0]["disabled"], false, "{told}");
    let once = plain(&roof.router);
    let again = owner.post(&configure, &wish).await?;
    assert_eq!(again["success"], true, "{again}");
    assert_eq!(different(&once, &plain(&roof.router)), Vec::<String>::new());

    // What it serves is what it served, and what is told holds no password.
    let works = json!({"hotspot": true, "pppoe": true, "radius": true});
    assert_eq!(owner.get(&format!("/wizard/{id}/test")).await?, works);
    for path in [
        list.clone(),
        format!("/wizard/{id}/status"),
        format!("/wizard/{id}/resume"),
        "/audit-logs?action=ROUTER_SETUP".to_owned(),
    ] {
        let told = owner.get(&path).await?;
        ensure!(!told.to_string().contains(PASSWORD), "{path}: {told}");
    }
    for said in [&failed, &done, &again] {
        ensure!(!said.to_string().contains(PASSWORD), "{said}");
    }

    // The newer driver, without a password: guests meet the page.
    roof.router.configure(|machine| {
        machine.clear("/interface wireless");
        machine.put("/interface wifi", &[("name", "wifi1"), ("disabled", "yes")]);
    });
    let open = json!({"ssid": "Guests", "interface": "wifi1"});
    let done = owner.post(&configure, &open).await?;
    assert_eq!(done["success"], true, "{done}");
    let told = owner.get(&list).await?;
    let one = &told["interfaces"][0];
    assert_eq!(
        (
            &one["driver"],
            &one["ssid"],
            &one["mode"],
            &one["securityProfile"]
        ),
        (
            &json!("wifi"),
            &json!("Guests"),
            &json!("ap"),
            &json!("easyisp-wifi1")
        ),
        "{told}"
    );
    roof.router
        .configure(|machine| machine.clear("/interface wifi"));
    let (status, said) = owner.call(Method::POST, &configure, Some(&open)).await?;
    assert_eq!((status.as_u16(), code(&said)), (422, "NO_RADIO"), "{said}");
    roof.close().await
}

fn code(said: &Value) -> &str {
    said["code"].as_str().unwrap_or_default()
}
